"""The log as a model is shown it: valid, whatever happened."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.core.dialogue import MALFORMED, NOT_RUN, UNKNOWN, WAITING, dialogue, result_text
from openhands_sessions.core.events.actions import MessageAction, RunAction, SystemAction, ThinkAction
from openhands_sessions.core.events.codec import decode, encode
from openhands_sessions.core.events.event import Event, Observation, Source, ToolCall
from openhands_sessions.core.events.observations import (
    EditObservation,
    ErrorObservation,
    RecallObservation,
    RunMetadata,
    RunObservation,
    SuccessObservation,
    UserRejectedObservation,
)
from openhands_sessions.core.events.own import PlannedCall, ToolCallsAction
from openhands_sessions.core.history_form import NO_TEXT
from openhands_sessions.core.ids import EventId
from tests.support.log_builder import ODD_ARGUMENTS, STORIES, LogBuilder, built_log
from tests.support.valid_history import valid
from tests.unit.core.strategies import any_event

Shown = list[dict[str, Any]]


def shown(events: list[Event], summary: str | None = None, after: int = -1) -> Shown:
    messages: Any = list(dialogue(events, summary, after))
    found: Shown = messages
    return found


def spoken(messages: Shown) -> list[str]:
    return [str(message["content"]) for message in messages if message["role"] == "user"]


def results(messages: Shown) -> dict[str, str]:
    return {message["tool_call_id"]: message["content"] for message in messages if message["role"] == "tool"}


@given(STORIES, st.integers(0, 200))
@settings(max_examples=150, deadline=None)
def test_the_history_is_valid_wherever_the_log_is_cut_off(steps: list[str], end: int) -> None:
    book = built_log(steps)
    events = book.events[:end]
    messages = shown(events)
    assert valid(messages)
    said = [event.content for event in events if isinstance(event, MessageAction) and event.source is Source.USER]
    assert [text for text in spoken(messages) if text in said] == said


@given(STORIES)
@settings(max_examples=100, deadline=None)
def test_every_call_has_the_result_that_was_obtained_for_it(steps: list[str]) -> None:
    book = built_log(steps)
    found = results(shown(book.events))
    for call, result in book.results.items():
        assert found[call].startswith(result)
    for call in found.keys() - book.results.keys():
        assert found[call] in (NOT_RUN, WAITING, UNKNOWN)


@given(STORIES)
@settings(max_examples=60, deadline=None)
def test_the_history_is_the_same_after_a_restart(steps: list[str]) -> None:
    events = built_log(steps).events
    assert shown([decode(encode(event)) for event in events]) == shown(events)


@given(st.lists(any_event(), max_size=6))
@settings(max_examples=30, deadline=None)
def test_no_log_is_too_odd_to_make_a_valid_history_of(events: list[Event]) -> None:
    assert valid(shown([replace(event, id=EventId(place)) for place, event in enumerate(events)]))


@pytest.mark.parametrize("kind", [SuccessObservation, UserRejectedObservation, ErrorObservation])
def test_a_result_without_text_is_told_as_nothing(kind: type[Observation]) -> None:
    assert result_text(kind(content="")) == NO_TEXT


def test_a_call_that_never_ran_says_so() -> None:
    book = built_log(["message", "three calls", "observe", "stop"])
    first, second, third = results(shown(book.events)).values()
    assert first.startswith("result of")
    assert (second, third) == (NOT_RUN, NOT_RUN)


def test_a_call_that_awaits_its_answer_says_so() -> None:
    book = built_log(["message", "ask"])
    assert list(results(shown(book.events)).values()) == [WAITING]


def test_a_call_whose_outcome_was_never_obtained_says_so() -> None:
    book = built_log(["message", "one call"])
    assert list(results(shown(book.events)).values()) == [UNKNOWN]
    book.observe()
    assert UNKNOWN not in results(shown(book.events)).values()


@pytest.mark.parametrize("answer", ["confirm", "reject", "stop"])
def test_an_action_and_its_answer_are_one_call(answer: str) -> None:
    messages = shown(built_log(["message", "ask", answer, "observe", "message"]).events)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool", "user"]
    assert messages[2]["content"] == "I look"
    assert len(messages[2]["tool_calls"]) == 1


def test_what_the_user_says_during_a_call_comes_behind_its_result() -> None:
    messages = shown(built_log(["message", "three calls", "message", "observe", "take up", "observe"]).events)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool", "tool", "tool", "user"]


@pytest.mark.parametrize("text", ODD_ARGUMENTS)
def test_arguments_that_are_no_object_are_shown_in_one_as_they_were_written(text: str) -> None:
    book = LogBuilder()
    book.reply(text)
    [call] = shown(book.events)[0]["tool_calls"]
    shown_as = json.loads(call["function"]["arguments"])
    if text == ODD_ARGUMENTS[0]:
        assert call["function"]["arguments"] == text
    else:
        assert shown_as in ({MALFORMED: text}, {"\u00e9": "\ufffd"}, {} if text in ("", "null", "{}") else None)


def test_what_is_known_of_the_workspace_comes_before_the_message_that_asked_for_it() -> None:
    messages = shown(built_log(["message", "recall", "message"]).events)
    assert [message["role"] for message in messages] == ["system", "user", "user", "user"]
    knowledge, first, second = spoken(messages)
    assert knowledge.endswith("Read the manual.")
    assert (first, second) == ("user says 0", "user says 1")


def test_a_summary_stands_where_the_forgotten_events_stood() -> None:
    book = built_log(["message", "one call", "observe", "speak", "message"])
    first = next(event.id for event in book.events if isinstance(event, MessageAction))
    last = max(event.id for event in book.events if isinstance(event, MessageAction))
    kept = [event for event in book.events if event.id <= first or event.id >= last]
    messages = shown(kept, "They talked.", last - 1)
    assert spoken(messages) == ["user says 0", "Summary of what happened before:\nThey talked.", "user says 1"]


def test_replies_of_a_model_that_counts_its_calls_from_one_each_time_are_kept_apart() -> None:
    events: list[Event] = []
    for number in range(2):
        call = ToolCall(function_name="f", tool_call_id="1", model_response={"id": f"r{number}"}, arguments="{}")
        action = RunAction(id=2 * number, command="ls", tool_call_metadata=call)  # type: ignore[arg-type]
        answer = ErrorObservation(id=2 * number + 1, cause=action.id, content=f"no {number}")  # type: ignore[arg-type]
        events += [action, answer]
    messages = shown(events)
    assert valid(messages)
    assert [message.get("content") for message in messages if message["role"] == "tool"] == ["no 0", "no 1"]


def test_the_models_words_are_said_once_for_several_calls() -> None:
    calls = (PlannedCall(id="a", name="f", arguments="{}"), PlannedCall(id="b", name="f", arguments="{}"))
    planned = ToolCallsAction(response_id="r", calls=calls, thought="First this.")
    call = ToolCall(function_name="f", tool_call_id="a", model_response={"id": "r"}, arguments="{}")
    taken = RunAction(command="ls", thought="First this.", tool_call_metadata=call)
    messages = shown([planned, taken])
    assert [message["content"] for message in messages if message["role"] == "assistant"] == ["First this."]


@pytest.mark.parametrize("prompt", ["", "Help.", "Help.\n\nIn verse!"])
def test_instructions_are_told_once_whether_the_prompt_says_them_or_not(prompt: str) -> None:
    recalled = RecallObservation(recall_type="workspace_context", conversation_instructions="In verse!")
    assert str(shown([SystemAction(content=prompt), recalled])).count("In verse!") == 1


@pytest.mark.parametrize(
    ("thought", "arguments", "content"),
    [
        ("Let me think.\nhm", '{"thought": "hm"}', "Let me think."),
        ("hm", '{"thought": "hm"}', ""),
        ("one\ntwo", '{"thought": "one\\ntwo"}', ""),
        ("otherwise", '{"thought": "hm"}', ""),
        ("nobody kept what the model wrote", "", "nobody kept what the model wrote"),
    ],
)
def test_what_is_said_beside_a_thought_is_told_apart_from_it(thought: str, arguments: str, content: str) -> None:
    call = ToolCall(function_name="think", tool_call_id="a", model_response={"id": "r"}, arguments=arguments)
    [spoken, _] = shown([ThinkAction(thought=thought, tool_call_metadata=call)])
    assert spoken["content"] == content


def test_images_are_shown_beside_the_text() -> None:
    message = MessageAction(source=Source.USER, content="look", image_urls=("data:image/png;base64,AA",))
    [shown_message] = shown([message])
    assert shown_message["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
    ]


@pytest.mark.parametrize(
    ("observation", "text"),
    [
        (
            RunObservation(command="x", content="out", metadata=RunMetadata(exit_code=3, working_dir="/workspace")),
            "out\n[working directory: /workspace]\n[exit code: 3]",
        ),
        (UserRejectedObservation(content="no"), "no"),
        (ErrorObservation(content="broken"), "broken"),
        (EditObservation(path="/workspace/a"), "Edited the file /workspace/a."),
    ],
)
def test_a_result_tells_the_model_what_it_needs(observation: Any, text: str) -> None:
    assert result_text(observation) == text
