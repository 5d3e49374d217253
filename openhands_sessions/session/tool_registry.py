"""The tools of a session: find one, check a call."""

from collections.abc import Mapping, Sequence

import orjson

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import McpAction
from openhands_sessions.core.events.event import Action, Json
from openhands_sessions.core.json_text import read_json
from openhands_sessions.ports.tool import Tool

LONGEST_ARGUMENTS = 4 * 1024 * 1024


class ToolRegistry:
    """Tools by name and by the actions that their calls become."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._by_kind = {kind: tool for tool in tools for kind in tool.kinds}
        self.schemas: Sequence[Mapping[str, Json]] = tuple(tool.schema for tool in tools)

    def read(self, name: str, arguments: str) -> Action:
        """The action of a call as a model wrote it. Raises BadInput in words that a model can act on."""
        tool = self._tools.get(name)
        if tool is None:
            raise BadInput(f"the tool {name[:64]!r}", f"does not exist; there are: {', '.join(self._tools)}")
        if len(arguments) > LONGEST_ARGUMENTS:
            raise BadInput("arguments", f"must not be longer than {LONGEST_ARGUMENTS} characters")
        try:
            given = read_json(arguments.strip() or "null")
        except ValueError as error:
            raise BadInput("arguments", f"must be a JSON object, and they are not JSON: {error}") from None
        given = {} if given is None else given
        if not isinstance(given, dict):
            raise BadInput("arguments", f"must be a JSON object, not {type(given).__name__}")
        return tool.read(given)

    def call(self, action: Action) -> tuple[str, str]:
        """Name and arguments of the call that becomes this action, as a model would write it. Where no tool here makes
        such actions, `read` refuses it."""
        known = action.tool_call_metadata
        if known is not None and known.arguments and known.function_name in self._tools:
            return known.function_name, known.arguments
        if isinstance(action, McpAction):
            # Each of their functions is a tool of its own.
            return action.name, orjson.dumps(dict(action.arguments)).decode()
        tool = self.of(action)
        if tool is None:
            return action.KIND, "{}"
        return tool.name, orjson.dumps(dict(tool.arguments(action))).decode()

    def is_independent(self, name: str, action: Action) -> bool:
        """Whether the action of a call of this tool may be carried out beside others."""
        return isinstance(action, self._tools[name].independent)

    def of(self, action: Action) -> Tool | None:
        """The tool that an action belongs to; None for one that no tool made."""
        return self._by_kind.get(type(action))
