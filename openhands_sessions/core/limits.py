"""What ends a turn early, or has it pause: its budgets."""

from dataclasses import dataclass

from openhands_sessions.core.events.budget import SpendingPausedAction
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.events.own import StopReason
from openhands_sessions.core.money import PER_DOLLAR, MicroDollars, micro_dollars_up
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.core.view import ConversationView


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that was reached; `text` is for users and begins as the V0 client expects."""

    reason: StopReason
    text: str


def over(view: ConversationView, settings: SessionSettings) -> Limit | None:
    """The limit that forbids one more model call of this turn, if any."""
    if view.iterations >= settings.max_iterations:
        text = f"Agent reached maximum iterations of a turn ({settings.max_iterations}). Say continue to go on."
        return Limit(StopReason.MAX_ITERATIONS, text)
    budget = settings.max_budget_per_task
    if budget is not None and view.spent.cost - view.cost_before_turn >= budget * PER_DOLLAR:
        text = f"Agent reached maximum budget of a turn (${budget:.2f}). Say continue to go on."
        return Limit(StopReason.MAX_COST, text)
    return None


def pausing(view: ConversationView, spent: MicroDollars, settings: SessionSettings) -> SpendingPausedAction | None:
    """The question that is to be answered before one more model call; None where the cost has not reached the next
    threshold. The one after that is the first of the doubled ones that is above the cost."""
    first = micro_dollars_up(settings.spending_pause_at)
    threshold = max(first, view.budget.pause_at)
    if not first or spent < threshold:
        return None
    then = threshold
    while then <= spent:
        then *= 2
    return SpendingPausedAction(source=Source.AGENT, spent=spent, threshold=threshold, then=then)
