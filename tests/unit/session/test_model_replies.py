"""Usage is told in the wire's form."""

from typing import Any

from openhands_sessions.core.spending import Spent
from openhands_sessions.ports.model import ModelReply, Usage
from openhands_sessions.session.model_replies import metrics

SPENT = Spent(cost=1_500_001, prompt_tokens=30, completion_tokens=15, cache_read_tokens=9, cache_write_tokens=6)


def test_a_reply_tells_what_the_conversation_has_used_with_it() -> None:
    reply = ModelReply(id="r3", text="x", usage=Usage(prompt_tokens=10, completion_tokens=5), model="m")
    used: Any = metrics(SPENT, reply, budget=9.0, window=4_096)
    assert (used["accumulated_cost"], used["max_budget_per_task"]) == (1.500001, 9.0)
    tokens = used["accumulated_token_usage"]
    assert (tokens["prompt_tokens"], tokens["completion_tokens"]) == (30, 15)
    assert (tokens["cache_read_tokens"], tokens["cache_write_tokens"]) == (9, 6)
    assert (tokens["model"], tokens["response_id"], tokens["per_turn_token"]) == ("m", "r3", 15)
    assert tokens["context_window"] == 4_096


def test_a_window_that_is_not_known_is_told_as_0() -> None:
    used: Any = metrics(Spent(), ModelReply(id="r", text="x"), budget=None, window=None)
    assert used["accumulated_token_usage"]["context_window"] == 0
