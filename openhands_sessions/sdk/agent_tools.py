"""Agents of a program as tools of another agent: each call is a turn in a session of its own."""

from collections.abc import Awaitable, Callable, Sequence

from openhands_sessions.core.errors import BadInput, SessionsError
from openhands_sessions.ports.mcp import CallMcp, McpDone, McpFunction, agent_function
from openhands_sessions.sdk.agent import Agent, AgentTool
from openhands_sessions.sdk.functions import FunctionTools

Ask = Callable[[Agent, str, str], Awaitable[str]]
"""Has an agent carry out a task, and returns its answer; the same key again gives the same answer. Raises what the turn
raises."""


class AgentTools:
    """The functions of one agent, and the agents that it may ask."""

    problems: Sequence[str] = ()

    def __init__(self, functions: FunctionTools, agents: Sequence[AgentTool], ask: Ask) -> None:
        """Raises BadInput for a name that two tools have."""
        self._functions = functions
        self._agents = {each.name: each.agent for each in agents}
        self._ask = ask
        told = [agent_function(each.name, each.agent.name, each.description) for each in agents]
        self.functions: Sequence[McpFunction] = (*functions.functions, *told)
        names = [each.name for each in self.functions]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise BadInput("tools", f"must not have two of the name {twice[0]!r}")

    async def call(self, call: CallMcp) -> McpDone:
        agent = self._agents.get(call.name)
        if agent is None:
            return await self._functions.call(call)
        try:
            return McpDone(text=await self._ask(agent, str(call.arguments.get("task", "")), call.key))
        except SessionsError as error:
            return McpDone(text=f"{type(error).__name__}: {error.message}", failed=True)
