"""Rules about tool calls: which one decides, and what it is compared with."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_sessions.core.confirmation_rules import (
    LONGEST_PATTERN,
    ConfirmationRule,
    first_match,
    main_argument,
    remembered_pattern,
)
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.settings import merge


def decided(rules: list[dict[str, Any]], tool: str, arguments: dict[str, Any], risk: int | None = -1) -> str | None:
    found = first_match([ConfirmationRule(**rule) for rule in rules], tool, json.dumps(arguments), risk)
    return None if found is None else found.decision


@pytest.mark.parametrize(
    ("tool", "arguments", "risk", "decision"),
    [
        ("execute_bash", {"command": "git push origin main"}, 1, "ask"),
        ("execute_bash", {"command": "git status"}, 0, "allow"),
        ("execute_bash", {"command": "GIT STATUS"}, 0, None),
        ("execute_bash", {"command": "rm -rf /"}, 2, "deny"),
        ("execute_bash", {"command": "ls"}, 2, None),
        ("str_replace_editor", {"command": "create", "path": "/w/.env", "file_text": "x"}, 1, "deny"),
        ("str_replace_editor", {"command": "view", "path": "/w/a.py"}, 0, None),
        ("run_ipython", {"code": "1 + 1"}, 1, "allow"),
        ("github_create_issue", {"title": "b", "body": "a"}, -1, "ask"),
        ("github_create_issue", {"title": "c"}, None, None),
        ("pay", {}, -1, "deny"),
        ("pay", {}, 0, None),
    ],
)
def test_the_first_rule_that_matches_decides(
    tool: str, arguments: dict[str, Any], risk: int | None, decision: str | None
) -> None:
    rules = [
        {"tool": "execute_bash", "pattern": "git push*", "decision": "ask"},
        {"tool": "execute_bash", "pattern": "git *", "decision": "allow"},
        {"tool": "execute_*", "pattern": "rm *", "risk": "high", "decision": "deny"},
        {"tool": "str_replace_editor", "pattern": "*/.env", "decision": "deny"},
        {"tool": "run_ipython", "decision": "allow"},
        {"tool": "github_*", "pattern": '{"body":"a","title":"b"}', "decision": "ask"},
        {"tool": "pay", "risk": "unknown", "decision": "deny"},
    ]
    assert decided(rules, tool, arguments, risk) == decision


@pytest.mark.parametrize("joint", [";", "&&", "|", "\n", "$(x)", "`x`", ">", "<"])
def test_wildcards_allow_no_second_command_and_deny_it(joint: str) -> None:
    command = {"command": f"git status {joint} rm -rf /"}
    assert decided([{"pattern": "git *", "decision": "allow"}], "execute_bash", command) is None
    assert decided([{"pattern": "git *", "decision": "deny"}], "execute_bash", command) == "deny"
    exact = remembered_pattern("execute_bash", json.dumps(command))
    assert decided([{"pattern": exact, "decision": "allow"}], "execute_bash", command) == "allow"


def test_input_for_a_running_command_is_no_command() -> None:
    rules = [{"tool": "execute_bash", "pattern": "y", "decision": "allow"}]
    assert decided(rules, "execute_bash", {"command": "y"}) == "allow"
    assert decided(rules, "execute_bash", {"command": "y", "is_input": True}) is None
    assert decided(rules, "execute_bash", {"command": "y", "is_input": "true"}) is None


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_remembered_pattern_matches_exactly_its_own_argument(command: str, other: str) -> None:
    pattern = remembered_pattern("execute_bash", json.dumps({"command": command}))
    rule = ConfirmationRule(tool="execute_bash", pattern=pattern, decision="allow")
    assert rule.matches("execute_bash", command, None)
    assert rule.matches("execute_bash", other, None) is (other == command)


def test_what_is_too_long_cannot_be_remembered() -> None:
    with pytest.raises(BadInput, match="always"):
        remembered_pattern("execute_bash", json.dumps({"command": "x" * (LONGEST_PATTERN + 1)}))


@pytest.mark.parametrize("arguments", ["", "{", "[1]", "null", '{"command": 1}'])
def test_arguments_in_any_form_have_a_main_one(arguments: str) -> None:
    assert isinstance(main_argument("execute_bash", arguments), str)


def test_many_wildcards_take_no_time() -> None:
    rule = ConfirmationRule(pattern="*a" * 1_000 + "b", decision="deny")
    assert not rule.matches("execute_bash", "a" * 100_000, None)


def test_rules_of_inner_layers_come_first() -> None:
    layers: list[dict[str, Any]] = [
        {"confirmation_rules": [{"tool": tool, "decision": "ask"}]} for tool in ("server", "user", "request")
    ]
    assert [rule.tool for rule in merge(*layers).confirmation_rules] == ["request", "user", "server"]


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"tool": "x"}, "confirmation_rules.0.decision"),
        ({"decision": "maybe"}, "confirmation_rules.0.decision"),
        ({"decision": "ask", "risk": "some"}, "confirmation_rules.0.risk"),
        ({"decision": "ask", "patern": "x"}, "confirmation_rules.0.patern"),
        ({"decision": "ask", "pattern": "x" * 4_001}, "confirmation_rules.0.pattern"),
        ("ask", "confirmation_rules.0"),
    ],
)
def test_wrong_fields_are_named(rule: Any, field: str) -> None:
    with pytest.raises(BadInput) as wrong:
        merge({"confirmation_rules": [rule]})
    assert wrong.value.field == field
