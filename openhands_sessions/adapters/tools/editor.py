"""`str_replace_editor`: view and change files of the workspace."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from openhands_sessions.adapters.tools.arguments import Arguments, checked, function, present, risk_name
from openhands_sessions.adapters.tools.execution import capped
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import EditAction, ReadAction
from openhands_sessions.core.events.event import Action, Json, Observation
from openhands_sessions.core.events.observations import (
    TOOL_FAILED_ID,
    EditObservation,
    ErrorObservation,
    ReadObservation,
)
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.runtime import EditDone, EditFile, Outcome, Task

EditorCommand = Literal["view", "create", "str_replace", "insert", "undo_edit"]
_NEEDS = {"create": ("file_text",), "str_replace": ("old_str",), "insert": ("insert_line", "new_str")}
_EDIT = ("command", "path", "file_text", "old_str", "new_str", "insert_line")
"""What a call, an EditAction and an EditFile have in common."""


class _EditorCall(Arguments):
    command: EditorCommand
    path: str
    file_text: str | None = None
    old_str: str | None = None
    new_str: str | None = None
    insert_line: int | None = None
    view_range: tuple[int, int] | None = None


class Editor:
    """The tool. `view` becomes a read action, everything else an edit action."""

    name = "str_replace_editor"
    kinds: tuple[type[Action], ...] = (EditAction, ReadAction)
    independent: tuple[type[Action], ...] = (ReadAction,)
    schema = function(
        name,
        "View, create and change text files of the workspace. view shows a file with line numbers, or a folder; create"
        " makes a new file; str_replace replaces the one place where old_str stands; insert puts new_str behind a line;"
        " undo_edit takes the last change of a file back.",
        ["command", "path"],
        command={"type": "string", "enum": list(get_args(EditorCommand))},
        path={"type": "string", "description": "The file, /workspace/… or relative to it."},
        file_text={"type": "string", "description": "create: the whole text."},
        old_str={"type": "string", "description": "str_replace: the text as it stands, exactly once in the file."},
        new_str={"type": "string", "description": "str_replace: what takes its place; insert: what is put in."},
        insert_line={"type": "integer", "description": "insert: the line behind which; 0 for the beginning."},
        view_range={"type": "array", "items": {"type": "integer"}, "description": "view: first and last line."},
    )

    def read(self, arguments: Mapping[str, Json]) -> Action:
        call = checked(_EditorCall, arguments)
        for name in _NEEDS.get(call.command, ()):
            if getattr(call, name) is None:
                raise BadInput(name, f"is needed by {call.command}")
        if call.command == "view":
            return ReadAction(path=call.path, view_range=call.view_range, impl_source="oh_aci", security_risk=call.risk)
        return EditAction(**_edit(call), security_risk=call.risk)

    def arguments(self, action: Action) -> Mapping[str, Json]:
        match action:
            case ReadAction(view_range=view_range):
                shown: Json = None if view_range is None else list(view_range)
                risk = risk_name(action.security_risk)
                return present(command="view", path=action.path, view_range=shown, security_risk=risk)
            case EditAction():
                return present(**_edit(action), security_risk=risk_name(action.security_risk))
            case _:
                return {}

    def task(self, action: Action) -> Task | None:
        match action:
            case ReadAction(view_range=(first, last)):
                return EditFile(command="view", path=action.path, view_range=(first, last))
            case ReadAction():
                return EditFile(command="view", path=action.path)
            case EditAction(command="create" | "str_replace" | "insert" | "undo_edit"):
                return EditFile(**_edit(action))
            case _:
                return None

    def observe(self, action: Action, outcome: Outcome | None, view: ConversationView) -> Observation | None:
        assert isinstance(outcome, EditDone)  # every task of this tool is an EditFile
        if not outcome.ok:
            return ErrorObservation(content=outcome.content, error_id=TOOL_FAILED_ID)
        if isinstance(action, ReadAction):
            return ReadObservation(content=capped(outcome.content), path=outcome.path, impl_source="oh_aci")
        return EditObservation(
            content=capped(outcome.content),
            path=outcome.path,
            prev_exist=outcome.prev_exist,
            old_content=outcome.old_content,
            new_content=outcome.new_content,
            diff=outcome.diff,
        )


def _edit(edit: _EditorCall | EditAction) -> dict[str, Any]:
    return {name: getattr(edit, name) for name in _EDIT}
