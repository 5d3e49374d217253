"""Tools are found by name and by action, and calls are checked before anybody acts."""

from dataclasses import replace

import pytest

from openhands_sessions.adapters.tools.editor import Editor
from openhands_sessions.adapters.tools.execution import Bash
from openhands_sessions.adapters.tools.notes import Finish
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import (
    BrowseAction,
    EditAction,
    FinishAction,
    McpAction,
    ReadAction,
    RunAction,
)
from openhands_sessions.core.events.event import Action, ToolCall
from openhands_sessions.session.tool_registry import LONGEST_ARGUMENTS, ToolRegistry

TOOLS = ToolRegistry([Bash(), Editor(), Finish()])


def test_a_call_is_read_by_the_tool_of_its_name() -> None:
    assert TOOLS.read("execute_bash", '{"command": "ls"}') == RunAction(command="ls")
    assert TOOLS.read("finish", "") == TOOLS.read("finish", "{}") == FinishAction()


def test_an_action_belongs_to_the_tool_that_made_it() -> None:
    assert isinstance(TOOLS.of(RunAction(command="ls")), Bash)
    assert isinstance(TOOLS.of(EditAction(path="a")), Editor)
    assert isinstance(TOOLS.of(ReadAction(path="a")), Editor)
    assert TOOLS.of(BrowseAction(url="x")) is None


def test_the_model_is_told_of_every_tool() -> None:
    assert [schema["function"]["name"] for schema in TOOLS.schemas] == [  # type: ignore[index,call-overload]  # a schema
        "execute_bash",
        "str_replace_editor",
        "finish",
    ]


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("dance", "{}", "there are: execute_bash, str_replace_editor, finish"),
        ("x" * 1000, "{}", "does not exist"),
        ("execute_bash", "{", "they are not JSON"),
        ("execute_bash", "[]", "must be a JSON object, not list"),
        ("execute_bash", "7", "must be a JSON object, not int"),
        ("execute_bash", "\ud800", "they are not JSON"),
        ("execute_bash", "[" * 100_000, "they are not JSON"),
        ("execute_bash", '{"command": "' + "x" * LONGEST_ARGUMENTS + '"}', "must not be longer"),
        ("execute_bash", "{}", "command is required"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_in_words_that_a_model_can_act_on(
    name: str, arguments: str, problem: str
) -> None:
    with pytest.raises(BadInput) as refused:
        TOOLS.read(name, arguments)
    assert problem in refused.value.message
    assert len(refused.value.message) < 500


RECORDED = ToolCall(function_name="execute_bash", tool_call_id="c", arguments='{"command":"ls","x":1}')


@pytest.mark.parametrize(
    ("action", "name", "arguments"),
    [
        (RunAction(command="ls"), "execute_bash", '{"command":"ls"}'),
        (RunAction(command="ls", tool_call_metadata=RECORDED), "execute_bash", RECORDED.arguments),
        (
            RunAction(command="ls", tool_call_metadata=replace(RECORDED, arguments="")),
            "execute_bash",
            '{"command":"ls"}',
        ),
        (
            RunAction(command="ls", tool_call_metadata=replace(RECORDED, function_name="their_shell")),
            "execute_bash",
            '{"command":"ls"}',
        ),
        (ReadAction(path="a"), "str_replace_editor", '{"command":"view","path":"a"}'),
        (BrowseAction(url="http://x"), "browse", "{}"),
        (McpAction(name="look", arguments={"a": 1}), "look", '{"a":1}'),
    ],
)
def test_a_recorded_action_becomes_the_call_that_led_to_it(action: Action, name: str, arguments: str) -> None:
    assert TOOLS.call(action) == (name, arguments)
