"""Other agents as tools: asked for a part of the task, or given the whole turn; `delegate` in the log."""

from collections.abc import Mapping

from openhands_sessions.adapters.tools.execution import capped
from openhands_sessions.adapters.tools.mcp import McpTool
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import DelegateAction
from openhands_sessions.core.events.event import Action, Json, Observation
from openhands_sessions.core.events.observations import TOOL_FAILED_ID, DelegateObservation, ErrorObservation
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.mcp import CallMcp, McpDone, McpFunction
from openhands_sessions.ports.runtime import Outcome
from openhands_sessions.ports.tool import Tool

TASK = "task"


class DelegateTool:
    """One function that stands for an agent. With a `handoff`, that agent goes on with the turn."""

    kinds: tuple[type[Action], ...] = (DelegateAction,)
    independent: tuple[type[Action], ...] = ()

    def __init__(self, function: McpFunction) -> None:
        self.name = function.name
        self._agent = function.agent or ""
        self._handoff = function.handoff
        described: dict[str, Json] = {
            "name": function.name,
            "description": function.description,
            "parameters": dict(function.parameters),
        }
        self.schema: Mapping[str, Json] = {"type": "function", "function": described}

    def read(self, arguments: Mapping[str, Json]) -> Action:
        task = arguments.get(TASK)
        if not isinstance(task, str) or not task.strip():
            raise BadInput(TASK, "must be a text that says what the agent is to do")
        inputs: dict[str, Json] = {TASK: task, "handoff": True} if self._handoff else {TASK: task}
        return DelegateAction(agent=self._agent, inputs=inputs)

    def arguments(self, action: Action) -> Mapping[str, Json]:
        assert isinstance(action, DelegateAction)  # the toolbox gives a tool only actions of its kinds
        return {TASK: action.inputs.get(TASK)}

    def task(self, action: Action) -> CallMcp | None:
        assert isinstance(action, DelegateAction)
        if action.inputs.get("handoff"):
            return None
        call = action.tool_call_metadata
        return CallMcp(name=self.name if call is None else call.function_name, arguments=self.arguments(action))

    def observe(self, action: Action, outcome: Outcome | None, view: ConversationView) -> Observation | None:
        assert isinstance(action, DelegateAction)
        if outcome is None:
            told = f"The agent {action.agent} takes over after this reply."
            return DelegateObservation(content=told, outputs={"handoff": action.agent})
        assert isinstance(outcome, McpDone)
        text = capped(outcome.text)
        if outcome.failed:
            return ErrorObservation(content=text or "The agent failed.", error_id=TOOL_FAILED_ID)
        return DelegateObservation(content=text)


def tool_of(function: McpFunction) -> Tool:
    """The tool of a function: of one that stands for an agent, or of another one."""
    return McpTool(function) if function.agent is None else DelegateTool(function)
