"""The part that decides: it reads a briefing and answers with what to say or which tools to use."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.events.own import CallPurpose
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.call_ledger import CallLedger
from openhands_sessions.ports.model import ChatMessage, ModelReply, Retry


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentInput:
    """What the agent knows when it decides. `messages` is a valid history: the system prompt first, each tool call
    with exactly one result right behind it."""

    messages: Sequence[ChatMessage]
    tools: Sequence[Mapping[str, Json]]
    unanswered: Sequence[MessageAction] = ()
    """The user's messages that no earlier turn has taken up, oldest first; none from before a stop. They are in
    `messages` too. After a restart, this may include messages whose command was
    already started; their calls are in `messages`."""


class Agent(Protocol):
    """One conversation's agent. Holds no dialogue: all it knows is in the briefing."""

    name: str
    prompt: str
    """The system prompt, recorded when the conversation begins."""
    model: str | None
    """The model's name, None for an agent that needs none."""
    vision: bool
    """Whether messages with images may be put to it."""
    window: int | None
    """Tokens that it is known to read at most; None: unknown."""

    async def decide(
        self,
        briefing: AgentInput,
        on_text: Callable[[str], None],
        on_retry: Callable[[Retry], None],
        on_thought: Callable[[str], None] = lambda text: None,
    ) -> ModelReply:
        """Text alone ends the turn with a message; calls are carried out and decided on again. A reply to some of the
        messages that wait says how far it goes (`ModelReply.answers`). Does nothing itself.
        Being cancelled ends it within a second. Raises ModelFailure."""

    async def summarize(
        self, messages: Sequence[ChatMessage], instruction: str, purpose: CallPurpose = CallPurpose.CONDENSE
    ) -> ModelReply | None:
        """A summary of a part of the dialogue; None for an agent that cannot. Raises ModelFailure."""

    async def title(self, message: str) -> str | None:
        """A few words on what a conversation is about that begins with `message`; None for an agent that cannot.
        Raises ModelFailure."""


class Agents(Protocol):
    """How agents of one kind are opened; loading a model happens here. Raises ModelFailure, BadInput."""

    def open(self, settings: SessionSettings, ledger: CallLedger) -> AbstractAsyncContextManager[Agent]:
        """An agent whose model calls are admitted and recorded by the ledger."""
