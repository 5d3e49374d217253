"""Names conversations: by the model, from the first message, or by its first words."""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary, WeakSet

import structlog

from openhands_sessions.core.errors import Conflict, ModelFailure, NotFound, SessionsError
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId, OwnerId
from openhands_sessions.core.texts import first_words, made_title
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession

log = structlog.get_logger(__name__)

LIMIT = 30.0
"""Seconds that a model may think of a title."""
AT_ONCE = 8
"""Titles that are made at the same time; more of them wait."""


class TitleGenerator:
    """One task for each conversation without a title that a user has spoken in. `close` ends them."""

    def __init__(self, store: SessionStore, on_title: Callable[[ConversationId, str, OwnerId], None]) -> None:
        self._store = store
        self._on_title = on_title
        self._named: WeakSet[AgentSession] = WeakSet()
        self._spoken: WeakSet[AgentSession] = WeakSet()
        """Sessions with new messages that were not looked at yet."""
        self._looking: WeakSet[AgentSession] = WeakSet()
        self._looked_at: WeakKeyDictionary[AgentSession, EventId] = WeakKeyDictionary()
        """Up to which event there are no words of a user's."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(AT_ONCE)

    def spoken(self, session: AgentSession) -> None:
        """A user has said something: see to it that the conversation has a title."""
        if session in self._named:
            return
        self._spoken.add(session)
        if session in self._looking:
            return
        self._looking.add(session)
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
                while session in self._spoken:
                    self._spoken.discard(session)
                    await self._look(session)
        except SessionsError as error:
            log.warning("a conversation was not given a title", conversation_id=session.sid, problem=error.message)
        finally:
            self._looking.discard(session)

    async def _look(self, session: AgentSession) -> None:
        """Name it, unless it has a name already or has no message yet."""
        row = await self._store.conversations.get(session.sid)
        untitled = row is not None and row.title is None
        message = await self._first_words(session) if untitled else None
        if untitled and message is None:
            return
        self._named.add(session)
        if message is not None and (title := await _by_model(session, message) or first_words(message)):
            await self._keep(session, title)

    async def _first_words(self, session: AgentSession) -> str | None:
        """The user's first visible message with words in it; only what was not looked at before is read."""
        async for batch in session.event_stream.read_chain(self._looked_at.get(session, UNNUMBERED)):
            for entry in batch:
                if entry.kind == "action:message":
                    event = decode(entry.text, entry.schema)
                    if isinstance(event, MessageAction) and event.source is Source.USER and event.content.strip():
                        return event.content
                self._looked_at[session] = entry.id
        return None

    async def _keep(self, session: AgentSession, title: str) -> None:
        """Unless the user has given one meanwhile, or the conversation is deleted."""
        title = session.event_stream.masker.text(title)
        while (row := await self._store.conversations.get(session.sid)) is not None and row.title is None:
            try:
                await self._store.conversations.update(session.sid, {"title": title}, if_version=row.version)
            except Conflict:
                continue  # the row has changed since it was read: look again
            except NotFound:
                return
            self._on_title(session.sid, title, row.owner)
            return


async def _by_model(session: AgentSession, message: str) -> str | None:
    agent = session.agent
    if agent is None:
        return None
    try:
        async with asyncio.timeout(LIMIT):
            return made_title(await agent.title(message) or "")
    except (ModelFailure, TimeoutError) as error:
        cause = getattr(error, "status", "timeout")
        log.info("a title was not made by the model", conversation_id=session.sid, cause=cause)
        return None
