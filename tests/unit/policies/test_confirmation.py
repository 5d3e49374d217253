"""Confirmation mode asks about what changes something."""

import pytest

from openhands_sessions.adapters.confirmation_policy import CHANGES, ConfirmationMode
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
from openhands_sessions.ports.policy import Verdict
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
    assert ConfirmationMode().verdict(action, ON) == Verdict("ask")
    assert ConfirmationMode().verdict(action, OFF) == Verdict("allow")


@pytest.mark.parametrize("action", HARMLESS, ids=lambda action: action.KIND)
def test_what_changes_nothing_is_never_asked_about(action: Action) -> None:
    assert ConfirmationMode().verdict(action, ON) == Verdict("allow")


@pytest.mark.parametrize("action", CHANGING, ids=lambda action: action.KIND)
def test_whatever_is_asked_about_can_await_its_answer(action: Action) -> None:
    _, asked, _ = asking([action], seen=0, iterations=1)
    assert getattr(asked, "confirmation_state", None) is ConfirmationState.AWAITING


def test_the_examples_are_all_there_is() -> None:
    assert {type(action) for action in CHANGING} == set(CHANGES)
    assert set(CHANGES) <= set(ACTIONS.values())


RULES = SessionSettings(confirmation_mode=True, security_analyzer="rules")


@pytest.mark.parametrize(("command", "asked"), [("ls", False), ("rm a", True), ("sudo ls", True)])
def test_with_rules_only_what_is_more_than_looking_is_asked_about(command: str, asked: bool) -> None:
    policy = ConfirmationMode()
    graded = policy.graded(RunAction(command=command), RULES)
    assert policy.verdict(graded, RULES) == Verdict("ask" if asked else "allow")
    assert policy.verdict(graded, SessionSettings(security_analyzer="rules")) == Verdict("allow")


def test_what_the_rules_do_not_know_is_asked_about() -> None:
    policy = ConfirmationMode()
    assert policy.verdict(policy.graded(McpAction(name="x"), RULES), RULES) == Verdict("ask")


@pytest.mark.parametrize("settings", [ON, OFF, SessionSettings(security_analyzer="llm")])
def test_without_rules_an_action_keeps_the_models_own_grade(settings: SessionSettings) -> None:
    action = RunAction(command="sudo ls", security_risk=0)
    assert ConfirmationMode().graded(action, settings) is action
