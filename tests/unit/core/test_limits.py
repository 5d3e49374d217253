"""A turn's budgets."""

import pytest

from openhands_sessions.core.budget import Budget
from openhands_sessions.core.events.own import StopReason
from openhands_sessions.core.limits import over, pausing
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


@pytest.mark.parametrize(
    ("spent", "allowed", "threshold", "then"),
    [
        (4_999_999, 0, None, None),
        (5_000_000, 0, 5_000_000, 10_000_000),
        (23_000_000, 0, 5_000_000, 40_000_000),
        (9_999_999, 10_000_000, None, None),
        (10_000_000, 10_000_000, 10_000_000, 20_000_000),
    ],
)
def test_a_conversation_pauses_at_its_threshold_and_then_at_the_doubled_one_above_its_cost(
    spent: int, allowed: int, threshold: int | None, then: int | None
) -> None:
    question = pausing(ConversationView(budget=Budget(pause_at=allowed)), spent, SessionSettings())
    assert (question and question.threshold, question and question.then) == (threshold, then)


def test_a_threshold_of_nothing_is_none() -> None:
    assert pausing(ConversationView(), 10**12, SessionSettings(spending_pause_at=0)) is None
