"""A turn's budgets."""

import pytest

from openhands_sessions.core.events.own import StopReason
from openhands_sessions.core.limits import over
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.core.spending import Spent
from openhands_sessions.core.view import ConversationView


@pytest.mark.parametrize(("calls", "met"), [(0, False), (2, False), (3, True), (4, True)])
def test_a_turn_has_so_many_model_calls_and_no_more(calls: int, met: bool) -> None:
    limit = over(ConversationView(iterations=calls), SessionSettings(max_iterations=3))
    assert (limit is not None) == met
    assert limit is None or limit.reason is StopReason.MAX_ITERATIONS


@pytest.mark.parametrize(
    ("spent", "met"), [(1_000_000, False), (1_499_999, False), (1_500_000, True), (9_000_000, True)]
)
def test_a_turn_may_cost_so_much_beyond_what_was_spent_before(spent: int, met: bool) -> None:
    view = ConversationView(spent=Spent(cost=spent), cost_before_turn=1_000_000)
    limit = over(view, SessionSettings(max_budget_per_task=0.5))
    assert (limit is not None) == met
    assert limit is None or limit.reason is StopReason.MAX_COST


def test_without_a_budget_money_is_no_matter() -> None:
    assert over(ConversationView(spent=Spent(cost=10**15)), SessionSettings()) is None


def test_the_v0_client_knows_a_limit_by_how_its_text_begins() -> None:
    for view in (ConversationView(iterations=100), ConversationView(spent=Spent(cost=1_000_000))):
        limit = over(view, SessionSettings(max_budget_per_task=1.0))
        assert limit is not None
        assert limit.text.startswith("Agent reached maximum")
