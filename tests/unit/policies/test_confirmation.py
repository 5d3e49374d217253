"""Confirmation mode asks about what changes something."""

import pytest

from openhands_sessions.adapters.policies.confirmation import CHANGES, ConfirmationMode
from openhands_sessions.core.events.actions import (
    ACTIONS,
    BrowseAction,
    EditAction,
    FinishAction,
    McpAction,
    MessageAction,
    ReadAction,
    RunAction,
    RunIpythonAction,
    TaskTrackingAction,
    ThinkAction,
    WriteAction,
)
from openhands_sessions.core.events.event import Action, ConfirmationState
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.session.approvals import asking

CHANGING: list[Action] = [
    RunAction(command="rm -r ."),
    RunIpythonAction(code="1"),
    EditAction(path="a"),
    WriteAction(path="a", content=""),
    McpAction(name="delete"),
]
HARMLESS: list[Action] = [
    ReadAction(path="a"),
    ThinkAction(),
    TaskTrackingAction(),
    FinishAction(),
    MessageAction(content=""),
    BrowseAction(url=""),
]
ON, OFF = SessionSettings(confirmation_mode=True), SessionSettings()


@pytest.mark.parametrize("action", CHANGING, ids=lambda action: action.KIND)
def test_what_changes_something_is_asked_about_in_confirmation_mode_only(action: Action) -> None:
    assert ConfirmationMode().asks(action, ON)
    assert not ConfirmationMode().asks(action, OFF)


@pytest.mark.parametrize("action", HARMLESS, ids=lambda action: action.KIND)
def test_what_changes_nothing_is_never_asked_about(action: Action) -> None:
    assert not ConfirmationMode().asks(action, ON)


@pytest.mark.parametrize("action", CHANGING, ids=lambda action: action.KIND)
def test_whatever_is_asked_about_can_await_its_answer(action: Action) -> None:
    _, asked, _ = asking(action, seen=0, iterations=1)
    assert getattr(asked, "confirmation_state", None) is ConfirmationState.AWAITING


def test_the_examples_are_all_there_is() -> None:
    assert {type(action) for action in CHANGING} == set(CHANGES)
    assert set(CHANGES) <= set(ACTIONS.values())
