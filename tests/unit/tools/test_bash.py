"""`execute_bash`: calls become commands, or text for the one that runs."""

from typing import Any

import pytest

from openhands_sessions.adapters.tools.execution import PATIENCE, PROMPTING, SHOWN, STILL_RUNNING, Bash
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import RunAction
from openhands_sessions.core.events.codec import decode, encode
from openhands_sessions.core.events.observations import LEFT_RUNNING, NO_EXIT_CODE, RunObservation
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.runtime import CommandDone, GiveInput, RunCommand, Task

TOOL = Bash()


@pytest.mark.parametrize(
    ("arguments", "task"),
    [
        ({"command": "ls"}, RunCommand(command="ls", patience=PATIENCE)),
        ({"command": ""}, RunCommand(command="", patience=PATIENCE)),
        ({"command": "ls", "timeout": 3}, RunCommand(command="ls", timeout=3.0, patience=PATIENCE)),
        ({"command": "ls", "is_input": "false", "x": 1}, RunCommand(command="ls", patience=PATIENCE)),
        ({"command": "yes", "is_input": True}, GiveInput(text="yes\n", patience=PATIENCE)),
        ({"command": "yes", "is_input": "true"}, GiveInput(text="yes\n", patience=PATIENCE)),
        ({"command": "", "is_input": True}, GiveInput(text="", patience=PATIENCE)),
        ({"command": "C-c", "is_input": True}, GiveInput(text="\x03", patience=PATIENCE)),
        ({"command": "C-d", "is_input": True}, GiveInput(text="\x04", patience=PATIENCE)),
        ({"command": "C-c"}, RunCommand(command="C-c", patience=PATIENCE)),
    ],
)
def test_a_call_becomes_a_task_of_the_sandbox(arguments: dict[str, Any], task: Task) -> None:
    action = TOOL.read(arguments)
    assert TOOL.task(action) == task
    assert TOOL.task(decode(encode(action))) == task  # type: ignore[arg-type]  # what went in was an action


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("Enter", "\n"),
        ("\n", "\n"),
        ("\r\n", "\n"),
        ("yes\n", "yes\n"),
        ("Escape", "\x1b"),
        ("Tab", "\t"),
        ("Up Down Right Left", "\x1b[A\x1b[B\x1b[C\x1b[D"),
        ("Down Down Enter", "\x1b[B\x1b[B\n"),
        ("Home End", "\x1b[H\x1b[F"),
        ("PageUp PageDown", "\x1b[5~\x1b[6~"),
        ("Backspace Delete", "\x7f\x1b[3~"),
        ("C-a C-Z", "\x01\x1a"),
        ("F1 F4 F5 F6 F12", "\x1bOP\x1bOS\x1b[15~\x1b[17~\x1b[24~"),
        ("delete", "delete\n"),
        ("Enter your name", "Enter your name\n"),
        ("C-1", "C-1\n"),
        ("one\ntwo", "one\ntwo\n"),
    ],
)
def test_keys_are_pressed_by_their_names_and_other_text_is_a_line(text: str, sent: str) -> None:
    assert TOOL.task(TOOL.read({"command": text, "is_input": True})) == GiveInput(text=sent, patience=PATIENCE)


@pytest.mark.parametrize(
    ("text", "enter", "sent"),
    [
        ("q", False, "q"),
        ("q", "false", "q"),
        ("", False, ""),
        ("", True, "\n"),
        ("Delete", True, "Delete\n"),
        ("Tab", False, "Tab"),
    ],
)
def test_with_enter_a_text_is_typed_as_it_is(text: str, enter: Any, sent: str) -> None:
    action = TOOL.read({"command": text, "is_input": True, "enter": enter})
    assert TOOL.task(decode(encode(action))) == GiveInput(text=sent, patience=PATIENCE)  # type: ignore[arg-type]
    assert TOOL.read(TOOL.arguments(action)) == action


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "command"),
        ({"command": None}, "command"),
        ({"command": ["ls"]}, "command"),
        ({"command": "a\0b"}, "command"),
        ({"command": "ls", "timeout": 0}, "timeout"),
        ({"command": "ls", "timeout": -1}, "timeout"),
        ({"command": "ls", "timeout": 86_401}, "timeout"),
        ({"command": "ls", "timeout": "soon"}, "timeout"),
    ],
)
def test_a_wrong_call_is_refused_by_the_argument(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        TOOL.read(arguments)
    assert refused.value.field == field


def observed(outcome: CommandDone, **arguments: Any) -> RunObservation:
    action = TOOL.read({"command": "make", **arguments})
    observation = TOOL.observe(action, outcome, ConversationView())
    assert isinstance(observation, RunObservation)
    return observation


def test_what_a_command_printed_and_how_it_ended_is_observed() -> None:
    observation = observed(CommandDone(output="built\n", exit_code=2, pid=7, working_dir="/workspace/src"))
    assert (observation.command, observation.content) == ("make", "built\n")
    metadata = observation.metadata
    assert (metadata.exit_code, metadata.pid, metadata.working_dir) == (2, 7, "/workspace/src")
    assert metadata.suffix == ""


@pytest.mark.parametrize("ended", ["timeout", "interrupted", "killed", "shell_exit", "prompt", "waiting", "busy"])
def test_an_end_that_is_no_exit_is_said_in_words(ended: Any) -> None:
    observation = observed(CommandDone(output="half", exit_code=None, ended=ended))
    first, note = observation.content.split("\n", 1)
    assert first == "half"
    assert note.startswith("[")
    assert observation.metadata.exit_code == NO_EXIT_CODE
    alone = observed(CommandDone(output="", exit_code=None, ended=ended))
    assert alone.content == note


@pytest.mark.parametrize(("ended", "note"), [("waiting", STILL_RUNNING), ("prompt", PROMPTING)])
def test_a_command_that_runs_on_is_marked(ended: Any, note: str) -> None:
    observation = observed(CommandDone(output="", exit_code=None, ended=ended))
    assert observation.content == note
    assert observation.metadata.suffix == LEFT_RUNNING


def test_long_output_is_shown_by_its_head_and_tail() -> None:
    observation = observed(CommandDone(output="x" * SHOWN * 2, exit_code=0))
    assert len(observation.content) < SHOWN + 100
    assert "characters left out" in observation.content


def test_a_hidden_command_is_observed_hidden() -> None:
    observation = TOOL.observe(
        RunAction(command="ls", hidden=True), CommandDone(output="", exit_code=0), ConversationView()
    )
    assert isinstance(observation, RunObservation)
    assert observation.hidden
