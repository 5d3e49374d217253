"""Tools that need no sandbox."""

from typing import Any

import pytest

from openhands_sessions.adapters.tools.notes import Finish, TaskTracker, Think
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import FinishAction, TaskItem, TaskTrackingAction, ThinkAction
from openhands_sessions.core.events.observations import TaskTrackingObservation, ThinkObservation
from openhands_sessions.core.view import ConversationView

VIEW = ConversationView()


def test_a_thought_is_written_down() -> None:
    action = Think().read({"thought": "hm"})
    assert action == ThinkAction(thought="hm")
    assert Think().task(action) is None
    assert isinstance(Think().observe(action, None, VIEW), ThinkObservation)


@pytest.mark.parametrize(("arguments", "text"), [({"message": "done"}, "done"), ({}, "")])
def test_finishing_ends_the_turn_and_is_observed_by_nobody(arguments: dict[str, Any], text: str) -> None:
    action = Finish().read(arguments)
    assert action == FinishAction(final_thought=text)
    assert Finish().task(action) is None
    assert Finish().observe(action, None, VIEW) is None


PLAN = TaskTrackingAction(
    command="plan", task_list=(TaskItem(id="1", title="look", status="done"), TaskItem(id="b", title="write"))
)


def test_a_plan_replaces_the_list() -> None:
    tool = TaskTracker()
    items: list[Any] = [{"title": "look", "status": "done", "notes": None}, {"id": "b", "title": "write", "x": 1}]
    action = tool.read({"command": "plan", "task_list": items})
    assert action == PLAN
    seen = tool.observe(action, None, VIEW)
    assert seen == TaskTrackingObservation(
        content="1. [done] look\n2. [todo] write", command="plan", task_list=PLAN.task_list
    )


def test_ids_of_tasks_may_be_numbers() -> None:
    action = TaskTracker().read({"command": "plan", "task_list": [{"id": 3, "title": "x"}]})
    assert isinstance(action, TaskTrackingAction)
    assert action.task_list[0].id == "3"


def test_a_look_shows_the_list_as_the_log_has_it() -> None:
    tool = TaskTracker()
    look = tool.read({"command": "view"})
    empty = tool.observe(look, None, VIEW)
    assert isinstance(empty, TaskTrackingObservation)
    assert empty.content == "The task list is empty."
    full = tool.observe(look, None, ConversationView(task_list=PLAN.task_list))
    assert isinstance(full, TaskTrackingObservation)
    assert full.task_list == PLAN.task_list


@pytest.mark.parametrize(
    ("tool", "arguments", "field"),
    [
        (Think(), {}, "thought"),
        (Think(), {"thought": ["a"]}, "thought"),
        (Finish(), {"message": 7}, "message"),
        (TaskTracker(), {}, "command"),
        (TaskTracker(), {"command": "clear"}, "command"),
        (TaskTracker(), {"command": "plan"}, "task_list"),
        (TaskTracker(), {"command": "plan", "task_list": "a, b"}, "task_list"),
        (TaskTracker(), {"command": "plan", "task_list": [{"id": "1"}]}, "task_list.0.title"),
        (TaskTracker(), {"command": "plan", "task_list": [{"title": "a", "status": "later"}]}, "task_list.0.status"),
    ],
)
def test_a_wrong_call_is_refused_by_the_argument(
    tool: Think | Finish | TaskTracker, arguments: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadInput) as refused:
        tool.read(arguments)
    assert refused.value.field == field
