"""One session's agent, whose model can be changed between two turns."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from openhands_sessions.core.events.own import CallPurpose
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.agent import Agent, AgentInput, Agents
from openhands_sessions.ports.model import ChatMessage, ModelReply, Retry
from openhands_sessions.session.dependencies import SettingsOf
from openhands_sessions.session.usage_ledger import UsageLedger


@dataclass(frozen=True, slots=True)
class OpenedAgent:
    """An agent with the settings that it was opened with; closing `stack` closes it."""

    agent: Agent
    settings: SessionSettings
    stack: AsyncExitStack


@dataclass(frozen=True, slots=True)
class AgentOpening:
    """How one session's agents are opened."""

    agents: Agents
    settings_of: SettingsOf
    ledger: UsageLedger

    async def open(self, model: str | None) -> OpenedAgent:
        """With this model, or that of the settings; to be used or closed. Raises BadInput, ModelFailure."""
        settings = self.settings_of(model)
        async with AsyncExitStack() as stack:
            agent = await stack.enter_async_context(self.agents.open(settings, self.ledger))
            return OpenedAgent(agent, settings, stack.pop_all())


class SwitchableAgent:
    """An Agent that passes all on to the one that is in use."""

    def __init__(self, opening: AgentOpening, opened: OpenedAgent) -> None:
        self._opening = opening
        self._take(opened)

    @classmethod
    @asynccontextmanager
    async def open(cls, opening: AgentOpening, model: str | None) -> "AsyncIterator[SwitchableAgent]":
        """With this model, or that of the settings. Raises BadInput, ModelFailure."""
        agent = cls(opening, await opening.open(model))
        try:
            yield agent
        finally:
            await agent._opened.stack.aclose()

    @property
    def settings(self) -> SessionSettings:
        """Those with the model that is in use."""
        return self._opened.settings

    async def another(self, model: str) -> OpenedAgent:
        """An agent with this model, to be used or closed. Raises BadInput, ModelFailure."""
        return await self._opening.open(model)

    async def use(self, opened: OpenedAgent) -> None:
        """Pass all on to this one from now on, and close the one before."""
        before = self._opened
        self._take(opened)
        await before.stack.aclose()

    def _take(self, opened: OpenedAgent) -> None:
        self._opened, agent = opened, opened.agent
        self.name, self.prompt, self.model = agent.name, agent.prompt, agent.model
        self.vision, self.window = agent.vision, agent.window

    async def decide(
        self,
        briefing: AgentInput,
        on_text: Callable[[str], None],
        on_retry: Callable[[Retry], None],
        on_thought: Callable[[str], None] = lambda text: None,
    ) -> ModelReply:
        return await self._opened.agent.decide(briefing, on_text, on_retry, on_thought)

    async def summarize(
        self, messages: Sequence[ChatMessage], instruction: str, purpose: CallPurpose = CallPurpose.CONDENSE
    ) -> ModelReply | None:
        return await self._opened.agent.summarize(messages, instruction, purpose)

    async def title(self, message: str) -> str | None:
        return await self._opened.agent.title(message)
