"""What each command needs."""

from typing import Any, get_args

import pytest

from openhands_sessions.core.commands import Answer, Command, Decide, DecideCall, SendMessage, SetBudget, SetModel, Stop
from openhands_sessions.core.events.own import RuleScope
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.permissions import COMMANDS, Permission, needed_for

VIEW, WRITE, OWN = Permission


def test_every_command_has_a_row() -> None:
    assert set(COMMANDS) == set(get_args(Command)), "a command has no row: write down what it needs"


def test_a_permission_covers_those_before_it() -> None:
    covered = [(one, other) for one in Permission for other in Permission if one.covers(other)]
    assert covered == [(VIEW, VIEW), (WRITE, VIEW), (WRITE, WRITE), (OWN, VIEW), (OWN, WRITE), (OWN, OWN)]


@pytest.mark.parametrize("scope", RuleScope)
def test_whatever_makes_a_rule_is_the_owners(scope: RuleScope) -> None:
    once = DecideCall(call=EventId(1), approved=True)
    always = DecideCall(call=EventId(2), approved=True, always=scope)
    assert needed_for(Answer(confirmed=True)) is WRITE
    assert needed_for(Answer(confirmed=True, always=scope)) is OWN
    assert needed_for(Decide(batch=EventId(1), version=1, decisions=(once,), rest=True)) is WRITE
    assert needed_for(Decide(batch=EventId(1), version=1, decisions=(once, always))) is OWN
    assert (needed_for(SendMessage(content="hi")), needed_for(SetModel("m"))) == (WRITE, OWN)


def test_a_yes_to_spending_is_the_owners_and_a_no_is_not() -> None:
    yes, no = (DecideCall(call=EventId(1), approved=approved) for approved in (True, False))
    about: dict[str, Any] = {"batch": EventId(1), "version": 1}
    for command, needs in (
        (Answer(confirmed=True), OWN),
        (Answer(confirmed=False), WRITE),
        (Decide(**about, rest=True), OWN),
        (Decide(**about, rest=False), WRITE),
        (Decide(**about, decisions=(yes,)), OWN),
        (Decide(**about, decisions=(no,)), WRITE),
        (SendMessage(content="hi"), WRITE),
        (Stop(), WRITE),
    ):
        assert needed_for(command, "spending") is needs, command
        assert needed_for(command) is WRITE, command


def test_viewers_command_nothing_and_writers_all_but_what_costs_the_owner() -> None:
    assert {kind for kind, needs in COMMANDS.items() if needs is VIEW} == set()
    assert {kind for kind, needs in COMMANDS.items() if needs is OWN} == {SetBudget, SetModel}
