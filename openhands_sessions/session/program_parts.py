"""What a session that a program runs is built from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.agent import Agent, Agents
from openhands_sessions.ports.call_ledger import CallLedger
from openhands_sessions.ports.program import ProgramAgent
from openhands_sessions.session.dependencies import Dependencies


def parts_for(agent: ProgramAgent, parts: Dependencies) -> Dependencies:
    """The parts of a server, with the program's prompt and functions; the tools of a sandbox only where it has one."""
    parts = replace(parts, agents=PromptedAgents(parts.agents, agent.prompt), functions=agent.functions)
    return parts if agent.runtimes is None else replace(parts, runtimes=agent.runtimes, tools=(), ipython=None)


class PromptedAgents:
    """Opens the agents of another kind with a prompt of the program's."""

    def __init__(self, agents: Agents, prompt: str) -> None:
        self._agents = agents
        self._prompt = prompt

    @asynccontextmanager
    async def open(self, settings: SessionSettings, ledger: CallLedger) -> AsyncIterator[Agent]:
        async with self._agents.open(settings, ledger) as agent:
            agent.prompt = self._prompt
            yield agent
