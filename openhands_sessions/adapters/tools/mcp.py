"""Tools of MCP servers: each a function of its own, all of them `call_tool_mcp` in the log."""

from collections.abc import Mapping

from openhands_sessions.adapters.tools.execution import capped
from openhands_sessions.core.events.actions import McpAction
from openhands_sessions.core.events.event import Action, Json, Observation
from openhands_sessions.core.events.observations import TOOL_FAILED_ID, ErrorObservation, McpObservation
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.mcp import CallMcp, McpDone, McpFunction
from openhands_sessions.ports.runtime import Outcome


class McpTool:
    """One function. Its arguments are checked by the server, by the schema that the model was shown."""

    kinds: tuple[type[Action], ...] = (McpAction,)

    def __init__(self, function: McpFunction) -> None:
        self.name = function.name
        self.independent: tuple[type[Action], ...] = self.kinds if function.read_only else ()
        described: dict[str, Json] = {
            "name": function.name,
            "description": function.description,
            "parameters": dict(function.parameters),
        }
        self.schema: Mapping[str, Json] = {"type": "function", "function": described}

    def read(self, arguments: Mapping[str, Json]) -> Action:
        return McpAction(name=self.name, arguments=arguments)

    def arguments(self, action: Action) -> Mapping[str, Json]:
        assert isinstance(action, McpAction)  # the toolbox gives a tool only actions of its kinds
        return action.arguments

    def task(self, action: Action) -> CallMcp | None:
        assert isinstance(action, McpAction)  # the toolbox gives a tool only actions of its kinds
        return CallMcp(name=action.name, arguments=action.arguments)

    def observe(self, action: Action, outcome: Outcome | None, view: ConversationView) -> Observation | None:
        assert isinstance(action, McpAction)
        assert isinstance(outcome, McpDone)
        text = capped(outcome.text)
        if outcome.failed:
            return ErrorObservation(content=text or "The tool failed.", error_id=TOOL_FAILED_ID)
        return McpObservation(content=text, name=action.name, arguments=action.arguments)
