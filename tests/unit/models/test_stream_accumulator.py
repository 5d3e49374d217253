"""Streamed replies put together."""

from types import SimpleNamespace
from typing import Any

import pytest

from openhands_sessions.adapters.models.failures import ReplyCut
from openhands_sessions.adapters.models.stream_accumulator import StreamAccumulator, counted
from openhands_sessions.core.errors import ModelFailure


def chunk(content: Any = None, calls: Any = None, finish: str | None = None, **beside: Any) -> dict[str, Any]:
    choice = {"delta": {"content": content, "tool_calls": calls, **beside}, "finish_reason": finish}
    return {"id": "reply-1", "model": "test", "choices": [choice]}


def fragment(
    index: int | None, arguments: str | None, *, id: str | None = None, name: str | None = None, **beside: Any
) -> dict[str, Any]:
    return {"index": index, "id": id, "function": {"name": name, "arguments": arguments}, **beside}


def gathered(*chunks: dict[str, Any]) -> StreamAccumulator:
    gathering = StreamAccumulator(lambda text: None, lambda text: None)
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
    assert gathered(chunk(content=[{"type": "thinking"}]), chunk(content="yes"), {}, {"choices": [None]}).text == "yes"


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


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("stop", "stop"),
        ("end_turn", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("tool_use", "tool_calls"),
        ("SAFETY", "content_filter"),
        ("something else", None),
    ],
)
def test_the_providers_words_for_the_end_become_ours(words: str, reason: str | None) -> None:
    assert gathered(chunk("x", finish=words)).finish == reason


def test_calls_of_every_choice_count_and_the_text_of_the_first_that_has_some() -> None:
    both = chunk(content="I look.")
    both["choices"] += chunk(content="again", calls=[fragment(0, "{}", id="a", name="ls")])["choices"]
    reply = gathered(both)
    assert (reply.text, [call.name for call in reply.calls()]) == ("I look.", ["ls"])


def test_halves_of_a_character_are_joined_across_pieces_and_those_that_stay_alone_are_replaced() -> None:
    told: list[str] = []
    gathering = StreamAccumulator(told.append, lambda text: None)
    for piece in ("a\ud83d", "\ude00b", "\ud83d", "x", "\ude00", "end\ud83d"):
        gathering.add(chunk(content=piece))
    gathering.check(finished=True)
    assert told == ["a", "\U0001f600b", "\ufffdx", "\ufffd", "end", "\ufffd"]
    assert gathering.text == "a\U0001f600b\ufffdx\ufffdend\ufffd"


def test_halves_in_arguments_are_joined_too() -> None:
    reply = gathered(
        chunk(calls=[fragment(0, '{"x": "\ud83d', id="a", name="ls")]), chunk(calls=[fragment(0, '\ude00"}')])
    )
    assert reply.calls()[0].arguments == '{"x": "\U0001f600"}'


def test_what_stands_beside_text_and_calls_is_kept_as_the_provider_sent_it() -> None:
    reply = gathered(
        chunk(reasoning_content="I should ", thinking_blocks=[{"type": "thinking", "thinking": "I should "}]),
        chunk(reasoning_content="look.", thinking_blocks=[{"type": "thinking", "thinking": "look."}]),
        chunk(thinking_blocks=[{"type": "thinking", "thinking": "", "signature": "c2ln"}]),
        chunk(thinking_blocks=[{"type": "redacted_thinking", "data": "eHl6"}], vendor={"level": 1}),
        chunk(details=[{"type": "text", "index": 0, "text": "a"}, {"type": "text", "index": 1, "text": "c"}]),
        chunk(details=[{"type": "text", "index": 0, "text": "b", "signature": "s"}]),
        chunk(calls=[fragment(0, "{}", id="a", name="ls", extra_content={"google": {"thought_signature": "S"}})]),
    )
    assert reply.extra == {
        "reasoning_content": "I should look.",
        "thinking_blocks": [
            {"type": "thinking", "thinking": "I should look.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "eHl6"},
        ],
        "vendor": {"level": 1},
        "details": [
            {"type": "text", "index": 0, "text": "ab", "signature": "s"},
            {"type": "text", "index": 1, "text": "c"},
        ],
    }
    assert reply.thoughts == "I should look."
    assert reply.calls()[0].extra == {"extra_content": {"google": {"thought_signature": "S"}}}


def test_thoughts_that_are_sent_under_two_names_are_told_once() -> None:
    reply = gathered(chunk(reasoning_content="hm", reasoning="hm"), chunk(content="yes"))
    assert (reply.thoughts, reply.text) == ("hm", "yes")


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
    assert counted(openai, cost=500_000, latency=1.0).cache_read_tokens == 8
    assert counted(anthropic, cost=500_000, latency=1.0).cache_read_tokens == 8
    assert counted(anthropic, cost=500_000, latency=1.0).cache_write_tokens == 1
    assert counted(None, cost=None, latency=1.0).prompt_tokens == 0
