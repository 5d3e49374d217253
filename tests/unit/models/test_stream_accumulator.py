"""Streamed replies put together."""

from types import SimpleNamespace
from typing import Any

import pytest

from openhands_sessions.adapters.models.failures import ReplyCut
from openhands_sessions.adapters.models.stream_accumulator import StreamAccumulator, counted
from openhands_sessions.core.errors import ModelFailure


def chunk(content: Any = None, calls: Any = None, finish: str | None = None, usage: Any = None) -> Any:
    delta = SimpleNamespace(content=content, tool_calls=calls)
    choice = SimpleNamespace(delta=delta, finish_reason=finish)
    return SimpleNamespace(id="reply-1", model="test", choices=[choice], usage=usage)


def fragment(index: int | None, arguments: str | None, *, id: str | None = None, name: str | None = None) -> Any:
    return SimpleNamespace(index=index, id=id, function=SimpleNamespace(name=name, arguments=arguments))


def gathered(*chunks: Any) -> StreamAccumulator:
    gathering = StreamAccumulator()
    for each in chunks:
        gathering.add(each)
    return gathering


def test_fragments_are_merged_by_their_index() -> None:
    reply = gathered(
        chunk(calls=[fragment(0, "", id="a", name="ls"), fragment(1, None, id="b", name="cat")]),
        chunk(calls=[fragment(1, '{"x"')]),
        chunk(calls=[fragment(0, "{}"), fragment(1, ": 1}")]),
    )
    assert [(call.id, call.name, call.arguments) for call in reply.calls()] == [
        ("a", "ls", "{}"),
        ("b", "cat", '{"x": 1}'),
    ]


def test_calls_that_all_have_index_0_are_told_apart_by_their_ids() -> None:
    reply = gathered(
        chunk(calls=[fragment(0, "{}", id="a", name="ls")]), chunk(calls=[fragment(0, "[]", id="b", name="cat")])
    )
    assert [(call.id, call.arguments) for call in reply.calls()] == [("a", "{}"), ("b", "[]")]


def test_calls_without_an_index_are_calls_of_their_own() -> None:
    reply = gathered(chunk(calls=[fragment(None, "{}", id="a", name="ls"), fragment(None, "{}", id="b", name="ls")]))
    assert [call.id for call in reply.calls()] == ["a", "b"]


def test_missing_and_doubled_ids_are_made_up_the_same_each_time() -> None:
    chunks = [chunk(calls=[fragment(n, "{}", id=key, name="ls") for n, key in enumerate([None, "call_0", "call_0"])])]
    ids = [call.id for call in gathered(*chunks).calls()]
    assert len(set(ids)) == 3
    assert "call_0" in ids
    assert ids == [call.id for call in gathered(*chunks).calls()]


def test_what_is_no_text_is_left_out() -> None:
    gathering = StreamAccumulator()
    assert gathering.add(chunk(content=[{"type": "thinking"}])) == ""
    assert gathering.add(chunk(content="yes")) == "yes"
    assert gathering.add(SimpleNamespace()) == ""
    assert gathering.text == "yes"


def test_a_stream_that_ends_early_is_no_reply() -> None:
    with pytest.raises(ReplyCut):
        gathered(chunk(content="half a")).check(finished=False)


def test_a_reply_that_was_filtered_away_is_a_policy_failure() -> None:
    with pytest.raises(ModelFailure) as failed:
        gathered(chunk(finish="content_filter")).check(finished=True)
    assert failed.value.status == "STATUS$ERROR_LLM_CONTENT_POLICY_VIOLATION"


def test_a_reply_that_was_filtered_in_part_is_kept() -> None:
    reply = gathered(chunk(content="so far"), chunk(finish="content_filter"))
    reply.check(finished=True)
    assert reply.text == "so far"


def test_cached_tokens_are_counted_in_either_form() -> None:
    openai = SimpleNamespace(
        prompt_tokens=10, completion_tokens=2, prompt_tokens_details=SimpleNamespace(cached_tokens=8)
    )
    anthropic = SimpleNamespace(
        prompt_tokens=10,
        completion_tokens=2,
        prompt_tokens_details=None,
        cache_read_input_tokens=8,
        cache_creation_input_tokens=1,
    )
    assert counted(openai, cost=0.5, latency=1.0).cache_read_tokens == 8
    assert counted(anthropic, cost=0.5, latency=1.0).cache_read_tokens == 8
    assert counted(anthropic, cost=0.5, latency=1.0).cache_write_tokens == 1
    assert counted(None, cost=0.0, latency=1.0).prompt_tokens == 0
