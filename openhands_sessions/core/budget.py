"""The auto-approval budget of a conversation, as its log leaves it. Pure.

A price is reserved before its call runs. The call's action takes the reservation over, and the action's result settles
it. So the fold decides wherever the log ends: what was reserved for an action that is stored waits for its result,
which recovery always gives; what was reserved for a call without an action is free again with the end of its turn.
"""

from dataclasses import dataclass

from openhands_sessions.core.events.budget import (
    AutoApprovalRevokedAction,
    BudgetReservedAction,
    BudgetSetAction,
    SpendingPausedAction,
)
from openhands_sessions.core.events.event import Action, ConfirmationState, Event, Observation
from openhands_sessions.core.events.observations import (
    BAD_CALL_ID,
    DENIED_ID,
    NOT_RUN_ID,
    ErrorObservation,
    UserRejectedObservation,
)
from openhands_sessions.core.events.own import HistoryMovedObservation, StopReason, TurnEndedObservation
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.money import MicroDollars

NOT_RUN = (NOT_RUN_ID, BAD_CALL_ID, DENIED_ID)
"""Errors of calls that were certainly not run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReservedPrice:
    """The price of a call of the reply `response`, until its result settles it."""

    response: str
    call: str
    micro_dollars: MicroDollars
    action: EventId = UNNUMBERED
    """The call's action; UNNUMBERED before it is stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What calls may cost that run without a question."""

    cap: MicroDollars | None = None
    """In all; None: no call runs for its price."""
    spent: MicroDollars = 0
    """The prices of calls that were run, or may have been."""
    reserved: tuple[ReservedPrice, ...] = ()
    pause_at: MicroDollars = 0
    """At which cost of its model calls the conversation pauses next, by the user's word; 0 before the first one."""

    @property
    def held(self) -> MicroDollars:
        """What is reserved."""
        return sum(one.micro_dollars for one in self.reserved)

    @property
    def rest(self) -> MicroDollars:
        """What can still be reserved; never below 0, also where the budget was lowered."""
        return 0 if self.cap is None else max(0, self.cap - self.spent - self.held)

    def holds(self, response: str, call: str) -> bool:
        """Whether something is reserved for this call, whose action is still to come."""
        return any((one.response, one.call, one.action) == (response, call, UNNUMBERED) for one in self.reserved)


NO_BUDGET = Budget()


def budget_after(budget: Budget, event: Event) -> Budget:
    """The budget after one more event; the same object where that changes nothing."""
    match event:
        case BudgetSetAction(micro_dollars=cap):
            return evolve(budget, cap=cap)
        case BudgetReservedAction(response=response, calls=calls):
            more = tuple(
                ReservedPrice(response=response, call=one.call, micro_dollars=one.micro_dollars) for one in calls
            )
            return evolve(budget, reserved=(*budget.reserved, *more))
        case SpendingPausedAction(confirmation_state=ConfirmationState.CONFIRMED, then=then):
            return evolve(budget, pause_at=then)
        case AutoApprovalRevokedAction():
            return NO_BUDGET
    if not budget.reserved:
        return budget
    match event:
        case HistoryMovedObservation():
            return _left(budget)
        case TurnEndedObservation(stop_reason=reason) if reason is not StopReason.APPROVAL:
            return _released(budget)
        case Observation(cause=int() as cause):
            return _settled(budget, cause, event)
        case Action() if event.tool_call_metadata is not None:
            return _begun(budget, event)
        case _:
            return budget


def _begun(budget: Budget, action: Action) -> Budget:
    """After an action, which takes over what is reserved for its call."""
    call, state = action.tool_call_metadata, getattr(action, "confirmation_state", ConfirmationState.CONFIRMED)
    assert call is not None  # or it takes nothing over
    key = (str(call.model_response.get("id") or ""), call.tool_call_id)
    if state is not ConfirmationState.CONFIRMED or not budget.holds(*key):
        return budget
    taken = tuple(
        evolve(one, action=action.id) if (one.response, one.call, one.action) == (*key, UNNUMBERED) else one
        for one in budget.reserved
    )
    return evolve(budget, reserved=taken)


def _settled(budget: Budget, cause: EventId, result: Observation) -> Budget:
    """After a result. What failed, was stopped, or has an unknown outcome may have cost its price: it is spent."""
    settled = sum(one.micro_dollars for one in budget.reserved if one.action == cause)
    left = tuple(one for one in budget.reserved if one.action != cause)
    if len(left) == len(budget.reserved):
        return budget
    not_run = isinstance(result, ErrorObservation) and result.error_id in NOT_RUN
    free = not_run or isinstance(result, UserRejectedObservation)
    return evolve(budget, spent=budget.spent + (0 if free else settled), reserved=left)


def _released(budget: Budget) -> Budget:
    """After the end of a turn, behind which no call of it is begun."""
    left = tuple(one for one in budget.reserved if one.action != UNNUMBERED)
    return budget if len(left) == len(budget.reserved) else evolve(budget, reserved=left)


def _left(budget: Budget) -> Budget:
    """After a move of the history, behind which no result of an action comes that it has left: that may have run."""
    begun = sum(one.micro_dollars for one in budget.reserved if one.action != UNNUMBERED)
    return evolve(budget, spent=budget.spent + begun, reserved=())
