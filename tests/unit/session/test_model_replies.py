"""Usage is added up in the wire's form."""

from typing import Any

import pytest

from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.view import ConversationView, reduce
from openhands_sessions.ports.model import ModelReply, Usage
from openhands_sessions.session.model_replies import metrics

USAGE = Usage(prompt_tokens=10, completion_tokens=5, cache_read_tokens=3, cache_write_tokens=2, cost=0.5)


def test_each_reply_is_added_to_what_was_used_before() -> None:
    view = ConversationView()
    for number in range(1, 4):
        reply = ModelReply(id=f"r{number}", text="x", usage=USAGE, model="m")
        used: Any = metrics(view, reply, budget=9.0, window=4_096)
        assert used["accumulated_cost"] == pytest.approx(0.5 * number)
        tokens = used["accumulated_token_usage"]
        assert (tokens["prompt_tokens"], tokens["completion_tokens"]) == (10 * number, 5 * number)
        assert (tokens["cache_read_tokens"], tokens["cache_write_tokens"]) == (3 * number, 2 * number)
        assert (tokens["model"], tokens["response_id"], tokens["per_turn_token"]) == ("m", f"r{number}", 15)
        assert tokens["context_window"] == 4_096
        view = reduce(view, MessageAction(content="x", llm_metrics=used))
    assert used["max_budget_per_task"] == 9.0


@pytest.mark.parametrize("cost", [float("nan"), float("inf")])
def test_a_cost_that_is_no_figure_counts_as_nothing(cost: float) -> None:
    reply = ModelReply(id="r", text="x", usage=Usage(cost=cost))
    assert metrics(ConversationView(cost=0.25), reply, budget=None, window=None)["accumulated_cost"] == 0.25


def test_a_window_that_is_not_known_is_told_as_0() -> None:
    used: Any = metrics(ConversationView(), ModelReply(id="r", text="x"), budget=None, window=None)
    assert used["accumulated_token_usage"]["context_window"] == 0
