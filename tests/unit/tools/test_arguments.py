"""What holds for the arguments of every tool."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.adapters.tools.arguments import Arguments, checked
from openhands_sessions.adapters.tools.editor import Editor
from openhands_sessions.adapters.tools.execution import Bash, Ipython, capped
from openhands_sessions.adapters.tools.mcp import McpTool
from openhands_sessions.adapters.tools.notes import Finish, TaskTracker, Think
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.codec import decode, encode
from openhands_sessions.ports.mcp import McpFunction
from openhands_sessions.ports.tool import Tool
from tests.unit.core.strategies import json_values

FUNCTION = McpFunction(name="look", description="Looks.", parameters={"properties": {}, "required": []})
TOOLS: list[Tool] = [Bash(), Editor(), Think(), Finish(), TaskTracker(), Ipython(), McpTool(FUNCTION)]
NAMES = [
    "command",
    "path",
    "message",
    "thought",
    "task_list",
    "timeout",
    "is_input",
    "view_range",
    "security_risk",
    "code",
    "file_text",
    "x",
]
GIVEN = st.dictionaries(
    st.sampled_from(NAMES), json_values() | st.sampled_from(["view", "plan", "ls", "create"]), max_size=5
)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_call_is_an_action_or_refused_in_words(tool: Tool) -> None:
    @given(GIVEN)
    @settings(max_examples=60, deadline=None)
    def holds(arguments: dict[str, Any]) -> None:
        try:
            action = tool.read(arguments)
        except BadInput:
            return
        assert type(action) in tool.kinds
        assert decode(encode(action)) == action
        assert tool.read(tool.arguments(action)) == action
        tool.task(action)

    holds()


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_schema_is_a_function_with_its_required_arguments_among_its_own(tool: Tool) -> None:
    function: Any = tool.schema["function"]
    assert tool.schema["type"] == "function"
    assert function["name"] == tool.name
    assert function["description"]
    assert set(function["parameters"]["required"]) <= function["parameters"]["properties"].keys()


@pytest.mark.parametrize(
    ("given", "risk"),
    [("LOW", 0), ("medium", 1), ("HIGH", 2), (0, 0), (2, 2), (3, -1), (-5, -1), ("", -1), ("dire", -1), (None, -1)],
)
def test_the_risk_is_low_to_high_or_unknown(given: str | int | None, risk: int) -> None:
    assert checked(Arguments, {"security_risk": given}).risk == risk


@pytest.mark.parametrize("given", [True, False, 1.5, [], {}, [1]])
def test_a_risk_that_is_none_does_not_spoil_the_call(given: Any) -> None:
    risk = checked(Arguments, {"security_risk": given}).risk
    assert (risk, type(risk)) == (-1, int)


def test_a_long_text_keeps_its_head_and_tail() -> None:
    text = "".join(str(number % 10) for number in range(101))
    assert capped(text, 101) == text
    short = capped(text, 20)
    assert short.startswith("0123456789\n")
    assert short.endswith("\n1234567890")
    assert "81 characters left out" in short
