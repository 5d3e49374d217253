"""What ends a turn early: its budgets."""

from dataclasses import dataclass

from openhands_sessions.core.events.own import StopReason
from openhands_sessions.core.money import PER_DOLLAR
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
