"""Events about what a conversation may spend, or do without a question. V0 clients are not sent them."""

from dataclasses import dataclass

from openhands_sessions.core.events.event import Action, ConfirmationState, kinds_of
from openhands_sessions.core.money import MicroDollars, dollars_told


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetSetAction(Action, kind="budget_set"):
    """From here on, the auto-approval budget of the conversation is so many micro-dollars in all; None turns it off.
    What was spent of it stays spent."""

    micro_dollars: MicroDollars | None = None

    def describe(self) -> str:
        if self.micro_dollars is None:
            return "The auto-approval budget is off"
        return f"The auto-approval budget is {dollars_told(self.micro_dollars)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReservedCall:
    """What is reserved for the call with this id."""

    call: str
    micro_dollars: MicroDollars


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetReservedAction(Action, kind="budget_reserved"):
    """Calls of the reply `response` run without a question: their prices are reserved in the auto-approval budget. A
    price is spent with the result of its call, and is free again where the call was certainly not run."""

    response: str
    calls: tuple[ReservedCall, ...]

    def describe(self) -> str:
        total = sum(one.micro_dollars for one in self.calls)
        return f"{dollars_told(total)} of the auto-approval budget are reserved for {len(self.calls)} calls"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendingPausedAction(Action, kind="spending_paused"):
    """The model calls of the conversation have cost `spent`, which is no less than `threshold`: the turn waits for the
    user's word to go on. The same again with another `confirmation_state` is the answer; after a yes, the next pause is
    at `then`. All are micro-dollars."""

    spent: MicroDollars
    threshold: MicroDollars
    then: MicroDollars
    confirmation_state: ConfirmationState = ConfirmationState.AWAITING

    def describe(self) -> str:
        match self.confirmation_state:
            case ConfirmationState.CONFIRMED:
                return f"The conversation goes on; it asks again at {dollars_told(self.then)}"
            case ConfirmationState.REJECTED:
                return "The conversation does not go on"
            case _:
                return (
                    f"This conversation has cost {dollars_told(self.spent)}. Go on? If you confirm, it asks again at"
                    f" {dollars_told(self.then)}; if you reject, the turn ends here."
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoApprovalRevokedAction(Action, kind="auto_approval_revoked", says="Calls that were always allowed ask again"):
    """From here on, no call runs without a question because of an earlier event: the rules that always allow calls are
    gone, and so is the auto-approval budget with all that was spent of it. It follows events that came from a file."""


BUDGET_ACTIONS: dict[str, type[Action]] = kinds_of(Action, __name__, vars())
