"""`str_replace_editor`: calls become reads and edits, and edits become tasks of the sandbox."""

from typing import Any

import pytest

from openhands_sessions.adapters.tools.editor import Editor
from openhands_sessions.adapters.tools.execution import SHOWN
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import EditAction, ReadAction
from openhands_sessions.core.events.observations import (
    TOOL_FAILED_ID,
    EditObservation,
    ErrorObservation,
    ReadObservation,
)
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.runtime import EditDone, EditFile

TOOL = Editor()
VIEW = ConversationView()
A = "/workspace/a.py"


@pytest.mark.parametrize(
    ("arguments", "task"),
    [
        ({"command": "view", "path": A}, EditFile(command="view", path=A)),
        ({"command": "view", "path": A, "view_range": [3, 9]}, EditFile(command="view", path=A, view_range=(3, 9))),
        ({"command": "view", "path": "a.py", "view_range": None}, EditFile(command="view", path="a.py")),
        ({"command": "create", "path": A, "file_text": ""}, EditFile(command="create", path=A, file_text="")),
        (
            {"command": "str_replace", "path": A, "old_str": "x", "new_str": "y"},
            EditFile(command="str_replace", path=A, old_str="x", new_str="y"),
        ),
        ({"command": "str_replace", "path": A, "old_str": "x"}, EditFile(command="str_replace", path=A, old_str="x")),
        (
            {"command": "insert", "path": A, "insert_line": 0, "new_str": "y"},
            EditFile(command="insert", path=A, insert_line=0, new_str="y"),
        ),
        ({"command": "undo_edit", "path": A, "colour": "red"}, EditFile(command="undo_edit", path=A)),
    ],
)
def test_a_call_becomes_a_task_of_the_sandbox(arguments: dict[str, Any], task: EditFile) -> None:
    action = TOOL.read(arguments)
    assert type(action) in TOOL.kinds
    assert isinstance(action, ReadAction) == (task.command == "view")
    assert TOOL.task(action) == task


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "command"),
        ({"command": "view"}, "path"),
        ({"command": "delete", "path": A}, "command"),
        ({"command": "view", "path": 7}, "path"),
        ({"command": "view", "path": A, "view_range": [1]}, "view_range.1"),
        ({"command": "view", "path": A, "view_range": [1, 2, 3]}, "view_range"),
        ({"command": "view", "path": A, "view_range": "all"}, "view_range"),
        ({"command": "create", "path": A}, "file_text"),
        ({"command": "str_replace", "path": A}, "old_str"),
        ({"command": "insert", "path": A, "new_str": "y"}, "insert_line"),
        ({"command": "insert", "path": A, "insert_line": 3}, "new_str"),
        ({"command": "insert", "path": A, "insert_line": "three", "new_str": "y"}, "insert_line"),
    ],
)
def test_a_wrong_call_is_refused_by_the_argument(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        TOOL.read(arguments)
    assert refused.value.field == field


def test_an_edit_of_another_agent_that_we_do_not_know_is_no_task() -> None:
    assert TOOL.task(EditAction(path=A, command="llm_based")) is None
    assert TOOL.task(EditAction(path=A)) is None


def test_what_the_sandbox_did_is_observed() -> None:
    done = EditDone(ok=True, content="Done.", path=A, prev_exist=True, old_content="x", new_content="y", diff="-x\n+y")
    assert TOOL.observe(EditAction(path="a.py", command="str_replace"), done, VIEW) == EditObservation(
        content="Done.", path=A, prev_exist=True, old_content="x", new_content="y", diff="-x\n+y"
    )
    shown = EditDone(ok=True, content="     1\tx", path=A)
    assert TOOL.observe(ReadAction(path=A), shown, VIEW) == ReadObservation(
        content="     1\tx", path=A, impl_source="oh_aci"
    )


@pytest.mark.parametrize("action", [EditAction(path=A, command="create"), ReadAction(path=A)])
def test_what_the_sandbox_refused_is_an_error_that_says_why(action: EditAction | ReadAction) -> None:
    refused = TOOL.observe(action, EditDone(ok=False, content="No such file.", path=A), VIEW)
    assert refused == ErrorObservation(content="No such file.", error_id=TOOL_FAILED_ID)


def test_a_long_file_is_shown_by_its_head_and_tail() -> None:
    observed = TOOL.observe(ReadAction(path=A), EditDone(ok=True, content="x" * SHOWN * 3, path=A), VIEW)
    assert isinstance(observed, ReadObservation)
    assert len(observed.content) < SHOWN + 100
    assert f"{SHOWN * 2} characters left out" in observed.content
