"""Tools that need no sandbox: `think`, `finish` and `task_tracker`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Literal

from openhands_sessions.adapters.tools.arguments import Arguments, checked, function
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import FinishAction, TaskItem, TaskTrackingAction, ThinkAction
from openhands_sessions.core.events.event import Action, Json, Observation
from openhands_sessions.core.events.observations import TaskTrackingObservation, ThinkObservation
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.runtime import Outcome, Task


class _Thought(Arguments):
    thought: str


class Think:
    """Write a thought down."""

    name = "think"
    kinds: tuple[type[Action], ...] = (ThinkAction,)
    independent: tuple[type[Action], ...] = ()
    schema = function(
        name,
        "Write a thought down: reasoning, a plan, a guess to test. Changes nothing.",
        ["thought"],
        thought={"type": "string"},
    )

    def read(self, arguments: Mapping[str, Json]) -> Action:
        return ThinkAction(thought=checked(_Thought, arguments).thought)

    def arguments(self, action: Action) -> Mapping[str, Json]:
        assert isinstance(action, ThinkAction)  # the toolbox gives a tool only actions of its kinds
        return {"thought": action.thought}

    def task(self, action: Action) -> Task | None:
        return None

    def observe(self, action: Action, outcome: Outcome | None, view: ConversationView) -> Observation | None:
        return ThinkObservation(content="The thought was written down.")


class _Message(Arguments):
    message: str = ""


class Finish:
    """End the task."""

    name = "finish"
    kinds: tuple[type[Action], ...] = (FinishAction,)
    independent: tuple[type[Action], ...] = ()
    schema = function(
        name,
        "End the task: it is done, or it cannot be done. The message says what was done, and what is left.",
        ["message"],
        message={"type": "string"},
    )

    def read(self, arguments: Mapping[str, Json]) -> Action:
        return FinishAction(final_thought=checked(_Message, arguments).message)

    def arguments(self, action: Action) -> Mapping[str, Json]:
        assert isinstance(action, FinishAction)  # the toolbox gives a tool only actions of its kinds
        return {"message": action.final_thought}

    def task(self, action: Action) -> Task | None:
        return None

    def observe(self, action: Action, outcome: Outcome | None, view: ConversationView) -> Observation | None:
        return None


class _Item(Arguments):
    id: str | int = ""
    title: str
    status: Literal["todo", "in_progress", "done"] = "todo"
    notes: str | None = ""


class _List(Arguments):
    command: Literal["view", "plan"]
    task_list: tuple[_Item, ...] | None = None


class TaskTracker:
    """The agent's own list of tasks; it lives in the log, so it is there after a restart."""

    name = "task_tracker"
    kinds: tuple[type[Action], ...] = (TaskTrackingAction,)
    independent: tuple[type[Action], ...] = ()
    schema = function(
        name,
        "Keep a list of tasks for work of several steps. plan replaces the list, view shows it.",
        ["command"],
        command={"type": "string", "enum": ["view", "plan"]},
        task_list={
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "string", "enum": ["todo", "in_progress", "done"]},
                    "notes": {"type": "string"},
                },
                "required": ["id", "title", "status"],
            },
        },
    )

    def read(self, arguments: Mapping[str, Json]) -> Action:
        call = checked(_List, arguments)
        if call.command == "plan" and call.task_list is None:
            raise BadInput("task_list", "is needed by plan")
        items = tuple(
            TaskItem(id=str(item.id) or str(place), title=item.title, status=item.status, notes=item.notes or "")
            for place, item in enumerate(call.task_list or (), start=1)
        )
        return TaskTrackingAction(command=call.command, task_list=items)

    def arguments(self, action: Action) -> Mapping[str, Json]:
        assert isinstance(action, TaskTrackingAction)  # the toolbox gives a tool only actions of its kinds
        return {"command": action.command, "task_list": [asdict(item) for item in action.task_list]}

    def task(self, action: Action) -> Task | None:
        return None

    def observe(self, action: Action, outcome: Outcome | None, view: ConversationView) -> Observation | None:
        assert isinstance(action, TaskTrackingAction)  # the toolbox gives a tool only actions of its kinds
        items = action.task_list if action.command == "plan" else view.task_list
        lines = [f"{place}. [{item.status}] {item.title}" for place, item in enumerate(items, start=1)]
        text = "\n".join(lines) if lines else "The task list is empty."
        return TaskTrackingObservation(content=text, command=action.command, task_list=items)
