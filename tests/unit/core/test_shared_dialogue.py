"""What each of several agents is shown of the log that they share."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.core.dialogue import dialogue
from openhands_sessions.core.events.actions import FinishAction, McpAction, MessageAction, SystemAction
from openhands_sessions.core.events.event import Event, Source, ToolCall
from openhands_sessions.core.events.observations import McpObservation
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.shared_dialogue import Viewer, seen_by
from openhands_sessions.core.turns import OpenTurn
from tests.support.log_builder import STORIES, built_log
from tests.support.valid_history import valid

NAMES = ("writer", "critic", "reader")


def shown(events: Sequence[Event], name: str, *, full: bool = False) -> list[dict[str, Any]]:
    viewer = Viewer(name=name, prompt=f"You are {name}.", first=name == NAMES[0], full=full)
    messages: Any = list(dialogue(seen_by(viewer, events)))
    return messages  # type: ignore[no-any-return]


def in_turns_of(names: Sequence[str], events: Sequence[Event]) -> list[Event]:
    """The events as the stream stamps them, the turns of one agent after the other."""
    turn, stamped, left = OpenTurn(default=NAMES[0]), [], list(names)
    for event in events:
        opens = turn.id is None and isinstance(event, MessageAction) and event.source is Source.USER
        named = evolve(event, agent_name=left.pop(0) if left else None) if opens else event
        told, turn = turn.take(named, event.id)
        stamped.append(evolve(named, **told))
    return stamped


@given(STORIES, st.lists(st.sampled_from(NAMES), max_size=8), st.integers(0, 200), st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_agents_history_has_a_call_without_its_result_wherever_the_log_is_cut_off(
    steps: list[str], names: list[str], end: int, full: bool
) -> None:
    events = in_turns_of(names, built_log(steps).events)[:end]
    for name in NAMES:
        messages = shown(events, name, full=full)
        assert valid(messages)
        assert [message["content"] for message in messages if message["role"] == "system"] == [
            messages[0]["content"] for _ in events[:1]
        ]


@given(STORIES)
@settings(max_examples=60, deadline=None)
def test_one_agent_alone_is_shown_what_it_would_be_shown_without_a_name(steps: list[str]) -> None:
    events = built_log(steps).events
    plain: Any = list(dialogue(events))
    assert shown(events, NAMES[0]) == plain
    assert shown(in_turns_of([], events), NAMES[0]) == shown(events, NAMES[0])


def a_log() -> list[Event]:
    call = ToolCall(function_name="look", tool_call_id="c1", model_response={"id": "r1"}, arguments='{"at": "x"}')
    made: list[Event] = [
        SystemAction(content="Write.", agent_name="writer"),
        SystemAction(content="Judge.", agent_name="critic"),
        MessageAction(content="Write it", source=Source.USER, agent_name="writer"),
        McpAction(
            name="look", arguments={"at": "x"}, source=Source.AGENT, tool_call_metadata=call, agent_name="writer"
        ),
        McpObservation(name="look", content="an x", cause=EventId(3), source=Source.AGENT, agent_name="writer"),
        MessageAction(content="Written.", source=Source.AGENT, agent_name="writer"),
        MessageAction(content="Judge it", source=Source.USER, agent_name="critic"),
        FinishAction(final_thought="Bad.", source=Source.AGENT, agent_name="critic"),
    ]
    return [evolve(event, id=EventId(number)) for number, event in enumerate(made)]


def test_agents_are_shown_what_is_said_to_each_other_and_their_answers_and_no_tools() -> None:
    assert [(each["role"], each["content"]) for each in shown(a_log(), "critic")] == [
        ("system", "Judge."),
        ("user", "[To the agent 'writer']\nWrite it"),
        ("user", "[The agent 'writer' answered]\nWritten."),
        ("user", "Judge it"),
    ]
    own = shown(a_log(), "writer")
    assert [each["role"] for each in own] == ["system", "user", "assistant", "tool", "assistant", "user", "user"]
    assert own[-1]["content"] == "[The agent 'critic' answered]\nBad."


def test_with_full_visibility_calls_and_results_of_the_others_are_told_in_words() -> None:
    told = [each["content"] for each in shown(a_log(), "critic", full=True)]
    assert told[2:4] == [
        """[The agent 'writer' called look({"at": "x"})]""",
        "[The agent 'writer' got the result]\nan x",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_an_agent_without_a_recorded_prompt_has_the_one_that_it_was_opened_with(name: str) -> None:
    events = [event for event in a_log() if not isinstance(event, SystemAction)]
    assert shown(events, name)[0] == {"role": "system", "content": f"You are {name}."}
