"""Chooses the kind of agent that a conversation's settings name."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.settings import SessionSettings, nearest
from openhands_sessions.ports.agent import Agent, Agents


class AgentChoice:
    """Agents by name. `default` is the first kind, or `shell` where no model is set."""

    def __init__(self, kinds: Mapping[str, Agents]) -> None:
        self._kinds = kinds

    @asynccontextmanager
    async def open(self, settings: SessionSettings) -> AsyncIterator[Agent]:
        name = "shell" if settings.agent == "default" and settings.llm_model is None else settings.agent
        kind = self._kinds.get(name)
        if kind is None:
            raise BadInput("agent", f"{name!r} does not exist{nearest(name, self._kinds)}")
        async with kind.open(settings) as agent:
            yield agent
