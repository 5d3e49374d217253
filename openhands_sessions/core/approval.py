"""The calls that the user is asked about, as the log leaves them. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from openhands_sessions.core.events.budget import SpendingPausedAction
from openhands_sessions.core.events.event import Action, ConfirmationState, Event
from openhands_sessions.core.events.own import (
    ApprovalDecidedAction,
    ApprovalRequestedAction,
    StopReason,
    TurnEndedObservation,
)
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import UNNUMBERED, EventId

ASKING = (StopReason.APPROVAL, StopReason.WAITING)
"""Why a turn may end that asks about calls; older logs say `waiting`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedCall:
    """A call that the user is asked about."""

    event: EventId
    """The event that asks about it."""
    call: str
    """The id of the call in its reply."""
    shown: EventId = UNNUMBERED
    """The action by which V0 clients are asked; UNNUMBERED until they are."""
    decided: EventId = UNNUMBERED
    """The event that decides; UNNUMBERED while the call awaits an answer."""
    approved: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Approval:
    """A batch of calls of one reply, in their order: those that await an answer, and those that are decided and not
    taken up yet."""

    batch: EventId
    """The event that asks about the first call."""
    about: Literal["calls", "spending"] = "calls"
    """What is asked: whether calls may run, or, as a batch of one, whether the conversation may go on at its cost."""
    version: int = 1
    """Rises with each decision."""
    deadline: datetime | None = None
    """When what still awaits an answer is rejected, UTC."""
    seen: EventId = UNNUMBERED
    """The newest event that the agent has taken into account; UNNUMBERED where that is not known."""
    calls: tuple[AskedCall, ...]

    @property
    def open(self) -> tuple[AskedCall, ...]:
        """The calls that await an answer."""
        return tuple(one for one in self.calls if one.decided == UNNUMBERED)

    def due(self, moment: datetime) -> bool:
        """Whether calls await an answer although the time for it is over."""
        return self.deadline is not None and moment >= self.deadline and bool(self.open)


def approval_after(approval: Approval | None, event: Event) -> Approval | None:
    """The batch after one more event; None where no call is left in it."""
    match event:
        case ApprovalRequestedAction():
            return _asked(approval, event)
        case ApprovalDecidedAction():
            return _decided(approval, event)
        case TurnEndedObservation():
            asks = approval is not None and approval.open and event.stop_reason in ASKING
            return evolve(approval, deadline=event.deadline, seen=EventId(event.seen)) if approval and asks else None
        case Action():
            match getattr(event, "confirmation_state", None):
                case ConfirmationState.AWAITING:
                    return _asked(approval, event)
                case ConfirmationState.REJECTED:
                    return _rejected(approval, event)
    return _taken_up(approval, event.cause)


def _asked(approval: Approval | None, event: Action) -> Approval:
    """After an event that asks about a call, or asks V0 clients about one that was asked about before."""
    call = "" if event.tool_call_metadata is None else event.tool_call_metadata.tool_call_id
    shown = UNNUMBERED if isinstance(event, ApprovalRequestedAction) else event.id
    one = AskedCall(event=event.id, call=call, shown=shown)
    if approval is None:
        about: Literal["calls", "spending"] = "spending" if isinstance(event, SpendingPausedAction) else "calls"
        return Approval(batch=event.id, about=about, calls=(one,))
    if any(each.event == event.cause for each in approval.calls):
        calls = tuple(evolve(each, shown=event.id) if each.event == event.cause else each for each in approval.calls)
        return evolve(approval, calls=calls)
    version = approval.version + (len(approval.open) < len(approval.calls))
    return evolve(approval, version=version, calls=(*approval.calls, one))


def _decided(approval: Approval | None, event: ApprovalDecidedAction) -> Approval | None:
    if approval is None or approval.batch != event.batch:
        return approval
    given = {one.call: one.approved for one in event.decisions}
    calls = tuple(
        evolve(one, decided=event.id, approved=given[one.event]) if one.event in given else one
        for one in approval.calls
    )
    return evolve(approval, version=event.version, calls=calls)


def _taken_up(approval: Approval | None, cause: EventId | None) -> Approval | None:
    """After an answer to the call that the event `cause` asks about, or its result."""
    if approval is None or cause is None:
        return approval
    calls = tuple(one for one in approval.calls if cause not in (one.event, one.shown))
    if len(calls) == len(approval.calls):
        return approval
    return evolve(approval, calls=calls) if calls else None


def _rejected(approval: Approval | None, event: Action) -> Approval | None:
    """Logs of other programs do not say which call a rejection answers where only one is open."""
    left = _taken_up(approval, event.cause)
    if left is not approval or approval is None or not approval.open:
        return left
    return _taken_up(approval, approval.open[0].event)
