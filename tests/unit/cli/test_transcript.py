"""What people read of events and deltas."""

import io
from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import example, given, strategies

from openhands_sessions.cli.screen import PlainScreen
from openhands_sessions.cli.transcript import Transcript
from openhands_sessions.core.events.actions import (
    ACTIONS,
    EditAction,
    FinishAction,
    MessageAction,
    RunAction,
    TaskItem,
    ThinkAction,
)
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import AgentState, ConfirmationState, Event, Source, ToolCall
from openhands_sessions.core.events.observations import (
    OBSERVATIONS,
    AgentStateChangedObservation,
    EditObservation,
    ErrorObservation,
    RunMetadata,
    RunObservation,
    TaskTrackingObservation,
)
from openhands_sessions.core.events.own import PlannedCall, ToolCallsAction
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.gateway import Delta

E = TypeVar("E", bound=Event)
LONG = "".join(f"line {number}\n" for number in range(3_000))


def agents(event: E, number: int) -> E:
    return replace(event, id=EventId(number), source=Source.AGENT)


def answer(event: E, number: int, cause: int) -> E:
    return replace(event, id=EventId(number), source=Source.AGENT, cause=EventId(cause))


def said(text: str, number: int = 5) -> MessageAction:
    return agents(MessageAction(content=text), number)


def ran(output: str, code: int = 0, *, number: int = 6, cause: int = 5) -> RunObservation:
    return answer(RunObservation(content=output, command="ls", metadata=RunMetadata(exit_code=code)), number, cause)


def stream(transcript: Transcript, text: str, *, kind: str = "reply", key: str = "5", size: int = 7) -> None:
    for offset in range(0, len(text), size):
        transcript.delta(Delta("reply" if kind == "reply" else "output", key, offset, text[offset : offset + size]))


def test_a_reply_that_streamed_is_not_said_again(transcript: Transcript, paper: io.StringIO) -> None:
    stream(transcript, "Hello, this is")
    transcript.event(said("Hello, this is all."))
    assert paper.getvalue() == "Hello, this is all.\n"


def test_a_reply_that_did_not_stream_is_said(transcript: Transcript, paper: io.StringIO) -> None:
    transcript.event(said("Hello."))
    assert paper.getvalue() == "Hello.\n"


def test_pieces_behind_a_missing_one_wait_for_the_whole(transcript: Transcript, paper: io.StringIO) -> None:
    transcript.delta(Delta("reply", "5", 6, "this is"))
    transcript.event(said("Hello this is all."))
    assert paper.getvalue() == "Hello this is all.\n"


def test_a_reply_that_begins_anew_is_shown_anew(transcript: Transcript, paper: io.StringIO) -> None:
    stream(transcript, "Half of")
    transcript.delta(Delta("reply", "5", 0, "Whole", restart=True))
    transcript.event(said("Whole."))
    assert paper.getvalue() == "Half of\nWhole.\n"


def test_an_output_that_is_told_from_the_beginning_again_goes_on_where_it_was(
    transcript: Transcript, paper: io.StringIO
) -> None:
    transcript.event(agents(RunAction(command="count"), 6))
    stream(transcript, "one\ntwo\n", kind="output", key="6")
    transcript.delta(Delta("output", "6", 0, "one\n", restart=True))
    assert paper.getvalue() == "$ count\none\ntwo\n"
    transcript.delta(Delta("output", "6", 4, "two\nthree\n"))
    transcript.delta(Delta("output", "6", 14, "four\n"))
    assert paper.getvalue() == "$ count\none\ntwo\nthree\nfour\n"
    transcript.event(ran("one\ntwo\nthree\nfour\nfive\n", number=7, cause=6))
    assert paper.getvalue() == "$ count\none\ntwo\nthree\nfour\nfive\n"


def test_an_output_that_ends_while_it_is_told_again_is_shown_once(transcript: Transcript, paper: io.StringIO) -> None:
    transcript.event(agents(RunAction(command="count"), 6))
    stream(transcript, "one\ntwo\n", kind="output", key="6")
    transcript.delta(Delta("output", "6", 0, "one\n", restart=True))
    transcript.event(ran("one\ntwo\nthree\n", number=7, cause=6))
    assert paper.getvalue() == "$ count\none\ntwo\nthree\n"


def test_a_reply_that_became_another_one_is_shown_on_a_line_of_its_own(
    transcript: Transcript, paper: io.StringIO
) -> None:
    stream(transcript, "This is")
    transcript.event(said("Something else."))
    assert paper.getvalue() == "This is\nSomething else.\n"


def test_pieces_that_come_behind_their_event_are_void(transcript: Transcript, paper: io.StringIO) -> None:
    transcript.event(said("Hello."))
    stream(transcript, "Hello.")
    transcript.event(agents(RunAction(command="ls"), 6))
    transcript.event(ran("a\n", number=7, cause=6))
    stream(transcript, "a\n", kind="output", key="6")
    assert paper.getvalue() == "Hello.\n$ ls\na\n"


PLAIN = strategies.characters(exclude_characters="\x1b\x9b", exclude_categories=["Cs"])
"""No escape sequences: one that is split over pieces loses its escape, and what follows it is shown."""


@given(strategies.text(PLAIN, max_size=40), strategies.integers(1, 9), strategies.integers(0, 40))
@example("a\r\nb", 1, 4)
@example("a\r\nb", 2, 2)
@example("\r\r\n\r", 1, 4)
def test_however_a_reply_streams_it_is_read_once(text: str, size: int, shown: int) -> None:
    streamed, at_once = io.StringIO(), io.StringIO()
    transcript = Transcript(PlainScreen(streamed))
    stream(transcript, text[:shown], size=size)
    transcript.event(said(text))
    Transcript(PlainScreen(at_once)).event(said(text))
    assert streamed.getvalue() == at_once.getvalue()


def test_output_that_streamed_is_not_shown_again(transcript: Transcript, paper: io.StringIO) -> None:
    transcript.event(agents(RunAction(command="ls"), 5))
    stream(transcript, "a\r\nb\r\n", kind="output")
    transcript.event(ran("a\nb\nc\n"))
    assert paper.getvalue() == "$ ls\na\nb\nc\n"


def test_a_long_output_goes_on_behind_what_was_shown_of_it(transcript: Transcript, paper: io.StringIO) -> None:
    transcript.event(agents(RunAction(command="seq"), 5))
    stream(transcript, LONG[:-40], kind="output", size=5_000)
    transcript.event(ran(f"{LONG[:500]}\n[… characters left out …]\n{LONG[-500:]}"))
    assert paper.getvalue() == f"$ seq\n{LONG}"


def test_output_without_an_end_of_line_gets_one(transcript: Transcript, paper: io.StringIO) -> None:
    transcript.event(ran("no end"))
    transcript.event(said("Next.", 7))
    assert paper.getvalue() == "no end\nNext.\n"


@pytest.mark.parametrize(("code", "told"), [(0, ""), (3, "exit code 3\n"), (-1, "ended by force\n")])
def test_a_bad_end_of_a_command_is_told(transcript: Transcript, paper: io.StringIO, code: int, told: str) -> None:
    transcript.event(ran("out\n", code))
    assert paper.getvalue() == f"out\n{told}"


def test_hidden_commands_are_not_shown(transcript: Transcript, paper: io.StringIO) -> None:
    transcript.event(agents(RunAction(command="secret", hidden=True), 5))
    transcript.event(answer(RunObservation(content="x", command="secret", hidden=True), 6, 5))
    assert paper.getvalue() == ""


def test_what_users_said_is_marked_unless_it_was_typed_here(transcript: Transcript, paper: io.StringIO) -> None:
    transcript.typed("mine")
    transcript.event(MessageAction(content="mine", source=Source.USER))
    transcript.event(MessageAction(content="theirs", source=Source.USER))
    assert paper.getvalue() == "> theirs\n"


def test_a_question_is_shown_once_and_the_answer_does_not_repeat_it(transcript: Transcript, paper: io.StringIO) -> None:
    asked = agents(RunAction(command="rm x", confirmation_state=ConfirmationState.AWAITING), 5)
    transcript.event(asked)
    confirmed = replace(asked, id=EventId(7), cause=EventId(5), confirmation_state=ConfirmationState.CONFIRMED)
    transcript.event(confirmed)
    assert paper.getvalue() == "The agent asks to do this: $ rm x\n"


def test_a_thought_before_several_calls_is_shown_once(transcript: Transcript, paper: io.StringIO) -> None:
    calls = tuple(PlannedCall(id=name, name="execute_bash", arguments="{}") for name in "ab")
    transcript.event(agents(ToolCallsAction(response_id="r", calls=calls, thought="Two things."), 5))
    call = ToolCall(function_name="execute_bash", tool_call_id="a", total_calls_in_response=2)
    transcript.event(agents(RunAction(command="one", thought="Two things.", tool_call_metadata=call), 6))
    assert paper.getvalue() == "Two things.\n$ one\n"


def test_a_thought_and_what_was_said_beside_it_are_shown_once(transcript: Transcript, paper: io.StringIO) -> None:
    calls = tuple(PlannedCall(id=name, name="think", arguments='{"thought": "hm"}') for name in "ab")
    transcript.event(agents(ToolCallsAction(response_id="r", calls=calls, thought="Let me think."), 5))
    transcript.event(agents(ThinkAction(thought="Let me think.\nhm"), 6))
    assert paper.getvalue() == "Let me think.\nhm\n"


def test_an_end_is_shown_with_its_words(transcript: Transcript, paper: io.StringIO) -> None:
    transcript.event(agents(FinishAction(thought="I think so.", final_thought="All done."), 5))
    assert paper.getvalue() == "I think so.\nAll done.\n"


def test_an_error_is_told_once(transcript: Transcript, paper: io.StringIO) -> None:
    transcript.problem("the provider is away")
    transcript.event(AgentStateChangedObservation(agent_state=AgentState.ERROR, reason="the provider is away"))
    assert paper.getvalue() == "error: the provider is away\n"


def test_the_same_error_of_a_later_turn_is_told_again(transcript: Transcript, paper: io.StringIO) -> None:
    transcript.problem("away")
    transcript.event(MessageAction(content="again", source=Source.USER))
    transcript.problem("away")
    assert paper.getvalue().count("error: away") == 2


def test_changes_of_files_are_shown_with_a_bound(transcript: Transcript, paper: io.StringIO) -> None:
    transcript.event(agents(EditAction(path="/workspace/a", command="create"), 5))
    transcript.event(answer(EditObservation(path="/workspace/a", diff=LONG), 6, 5))
    lines = paper.getvalue().splitlines()
    assert lines[0] == "Editing file: /workspace/a"
    assert lines[-1] == "(and 2960 more lines)"


def test_a_task_list_is_shown_with_marks(transcript: Transcript, paper: io.StringIO) -> None:
    items = tuple(TaskItem(id=state, title=state, status=state) for state in ("todo", "in_progress", "done"))
    transcript.event(TaskTrackingObservation(task_list=items))
    assert paper.getvalue() == "[ ] todo\n[~] in_progress\n[x] done\n"


def test_a_failed_action_is_told_and_what_streamed_of_it_forgotten(transcript: Transcript, paper: io.StringIO) -> None:
    stream(transcript, "begun", kind="output")
    transcript.event(answer(ErrorObservation(content="the sandbox is gone"), 6, 5))
    assert paper.getvalue() == "begun\nthe sandbox is gone\n"


NEEDED = {
    **dict.fromkeys(("content", "command", "code", "path", "url", "browser_actions", "name", "agent"), '"x"'),
    **dict.fromkeys(("recall_type", "response_id", "file_path", "query"), '"x"'),
    "agent_state": '"running"',
    "calls": "[]",
    "stop_reason": '"done"',
    "seen": "3",
}


@pytest.mark.parametrize(
    "kind", [f"action:{kind}" for kind in ACTIONS] + [f"observation:{kind}" for kind in OBSERVATIONS]
)
def test_every_kind_of_event_can_be_shown(kind: str, transcript: Transcript) -> None:
    family, name = kind.split(":")
    body = ",".join(f'"{key}":{value}' for key, value in NEEDED.items())
    place = "args" if family == "action" else "extras"
    text = f'{{"id":1,"source":"agent","{family}":"{name}","content":"x","{place}":{{{body}}}}}'
    transcript.event(decode(text))


def test_an_unknown_kind_is_passed_over(transcript: Transcript, paper: io.StringIO) -> None:
    transcript.event(decode('{"id":1,"source":"agent","action":"dance","args":{}}'))
    assert paper.getvalue() == ""
