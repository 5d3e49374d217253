"""Names conversations: by the model, from the first message, or by its first words."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from weakref import WeakSet

import structlog

from openhands_sessions.core.errors import ModelFailure, NotFound, SessionsError
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.titles import first_words, made_title
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession

log = structlog.get_logger(__name__)

LIMIT = 30.0
"""Seconds that a model may think of a title."""
AT_ONCE = 8
"""Titles that are made at the same time; more of them wait."""
LOOKED_AT = 50
"""Events in which the first message is looked for."""


class Titles:
    """One task for each conversation without a title that a user has spoken in. `close` ends them."""

    def __init__(self, store: SessionStore, on_title: Callable[[ConversationId, str], None]) -> None:
        self._store = store
        self._on_title = on_title
        self._known: WeakSet[AgentSession] = WeakSet()
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(AT_ONCE)

    def spoken(self, session: AgentSession) -> None:
        """A user has said something: see to it that the conversation has a title."""
        if session in self._known:
            return
        self._known.add(session)
        task = asyncio.create_task(self._name(session), name=f"title {session.sid}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what is under way: those conversations are named when a user speaks in them again."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _name(self, session: AgentSession) -> None:
        try:
            async with self._room:
                await session.settled()
                if await self._untitled(session) and (message := await _first_message(session)):
                    title = await _by_model(session, message) or first_words(message)
                    await self._keep(session, title)
        except SessionsError as error:
            log.warning("a conversation was not given a title", conversation_id=session.sid, problem=error.message)

    async def _untitled(self, session: AgentSession) -> bool:
        row = await self._store.conversations.get(session.sid)
        return row is not None and row.title is None

    async def _keep(self, session: AgentSession, title: str | None) -> None:
        """Unless the user has given one meanwhile, or the conversation is gone."""
        row = await self._store.conversations.get(session.sid)
        if title is None or row is None or row.title is not None:
            return
        title = session.event_stream.redactor.text(title)
        try:
            await self._store.conversations.update(replace(row, title=title))
        except NotFound:
            return
        self._on_title(session.sid, title)


async def _first_message(session: AgentSession) -> str | None:
    async for batch in session.event_stream.read(before=LOOKED_AT):
        for entry in batch:
            if entry.kind == "action:message":
                event = decode(entry.text, entry.schema)
                if isinstance(event, MessageAction) and event.source is Source.USER and event.content.strip():
                    return event.content
    return None


async def _by_model(session: AgentSession, message: str) -> str | None:
    agent = session.agent
    if agent is None:
        return None
    try:
        async with asyncio.timeout(LIMIT):
            return made_title(await agent.title(message) or "")
    except (ModelFailure, TimeoutError):
        return None
