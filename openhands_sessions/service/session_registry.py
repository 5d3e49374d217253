"""Which sessions live here, and the feeds of all conversations that are followed or worked on: admission, joining, and
the end of idle sessions."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from weakref import WeakValueDictionary

import structlog

from openhands_sessions.core.errors import AtCapacity
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.access import SessionStatus
from openhands_sessions.ports.gateway import EndReason, Status
from openhands_sessions.ports.store import ConversationRow
from openhands_sessions.service.idle_closing import IdleCloser
from openhands_sessions.service.lifecycle_log import log_state
from openhands_sessions.service.status_board import StatusBoard
from openhands_sessions.service.storage_failures import StorageFailures
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.feed import Feed
from openhands_sessions.session.setup import Dependencies, InitialInput

log = structlog.get_logger(__name__)


class SessionRegistry:
    """Owns the live sessions and their tasks. At most `max_sessions` at once, counted before anything is built."""

    def __init__(self, parts: Dependencies, board: StatusBoard, *, max_sessions: int, idle_timeout: float) -> None:
        self.board = board
        self.storage_failures = StorageFailures(parts.store)
        self._parts = parts
        self._max_sessions = max_sessions
        self._sessions: dict[ConversationId, AgentSession] = {}
        self._rows: dict[ConversationId, ConversationRow] = {}
        self._tasks: dict[ConversationId, asyncio.Task[None]] = {}
        self._idle = IdleCloser(idle_timeout, partial(self.close, reason="idle"))
        self._feeds: WeakValueDictionary[ConversationId, Feed] = WeakValueDictionary()
        self._changed_at = 0.0
        self.accepting = True

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def live(self) -> Sequence[ConversationId]:
        """Whose sessions are live, failed ones included."""
        return [*self._sessions]

    @property
    def full(self) -> bool:
        """Whether a new session would be refused."""
        return not self.accepting or (len(self._sessions) >= self._max_sessions and self._idle.longest_idle() is None)

    def idle_time(self, started: float) -> float:
        """Seconds for which no session has worked or come to another state, at most those since `started`, a time of
        the loop's."""
        if any(session.busy for session in self._sessions.values()):
            return 0.0
        return asyncio.get_running_loop().time() - max(started, self._changed_at)

    def find(self, sid: ConversationId) -> AgentSession | None:
        """The live session, failed ones included."""
        return self._sessions.get(sid)

    def owner(self, sid: ConversationId) -> OwnerId | None:
        """Whose live session it is."""
        row = self._rows.get(sid)
        return None if row is None else row.owner

    def row(self, sid: ConversationId) -> ConversationRow | None:
        """The row of a conversation whose session is live, as of the last change in this process."""
        return self._rows.get(sid)

    def feed(self, sid: ConversationId) -> Feed:
        """The conversation's feed, kept while a session or a follower holds it; a new one where the last has ended."""
        feed = self._feeds.get(sid)
        if feed is None or feed.ended:
            feed = self._feeds[sid] = Feed(self._parts.store.log(sid))
        return feed

    def check_room(self) -> None:
        """Raises AtCapacity where a new session would be refused."""
        if not self.accepting:
            raise AtCapacity("the server is shutting down; try again in a moment")
        if self.full:
            raise AtCapacity(f"the server holds {self._max_sessions} sessions, as many as it may; try again later")

    async def open(
        self,
        row: ConversationRow,
        settings: Callable[[], SessionSettings],
        initial: InitialInput,
        cause: str = "asked for",
    ) -> AgentSession:
        """Join the live session, or build one; one that failed or closes makes room for a new one first. Does not wait
        for Ready. `cause` stands in the log. Raises AtCapacity."""
        while (session := self._sessions.get(row.id)) is not None:
            if session.accepting:
                return session
            await self.close(row.id, "failed")
        if len(self._sessions) >= self._max_sessions and (idle := self._idle.longest_idle()) is not None:
            await self.close(idle, "idle")
            return await self.open(row, settings, initial, cause)
        self.check_room()
        return self._build(row, settings(), initial, cause)

    def retitled(self, sid: ConversationId, title: str) -> None:
        """Tell those who follow the conversation that it has a new title."""
        if (row := self._rows.get(sid)) is not None:
            self._rows[sid] = replace(row, title=title)
        if (feed := self._feeds.get(sid)) is not None:
            feed.publish_transient(Status("info", None, sid, title=title))

    def _build(
        self, row: ConversationRow, settings: SessionSettings, initial: InitialInput, cause: str
    ) -> AgentSession:
        sid = row.id
        session = AgentSession(sid, settings, self._parts, self.feed(sid), initial=initial, on_change=self._changed)
        self._sessions[sid] = session
        self._rows[sid] = row
        task = asyncio.create_task(session.run(), name=f"session {sid}")
        self._tasks[sid] = task
        task.add_done_callback(lambda done: self._ended(session, done))
        self._publish(session, cause)
        return session

    async def close(self, sid: ConversationId, reason: EndReason) -> None:
        """End a session; returns when it is Closed and gone from here. Where the user has ended it, followers are sent
        away, also those of a conversation without a session."""
        session = self._sessions.get(sid)
        if session is not None:
            task = self._tasks[sid]
            await session.close(reason)
            await asyncio.wait([task])
        if reason in ("stopped", "deleted") and (feed := self._feeds.get(sid)) is not None:
            feed.end(reason)

    async def close_all(self, reason: EndReason) -> None:
        """End every session, and accept none from now on."""
        self.accepting = False
        await asyncio.gather(*(self.close(sid, reason) for sid in list(self._sessions)))
        for feed in list(self._feeds.values()):
            feed.end(reason)
        await self._idle.finish()

    def released(self, sid: ConversationId) -> None:
        """A follower has left: the session may be idle now."""
        session = self._sessions.get(sid)
        if session is not None:
            self._idle.watch(session)

    def _changed(self, session: AgentSession) -> None:
        if self._sessions.get(session.sid) is not session:
            return  # closing it took too long: what it still had under way came to its end afterwards
        self._publish(session)
        self._idle.watch(session)
        self.storage_failures.note(session)

    def _publish(self, session: AgentSession, cause: str | None = None) -> None:
        if self._sessions.get(session.sid) is not session:
            return  # an append that was under way at its end
        self._changed_at = asyncio.get_running_loop().time()
        view, owner = session.event_stream.view, self._rows[session.sid].owner
        before = self.board.sessions.get(session.sid)
        if before is None or before.state is not session.state:
            log_state(session, owner, cause)
        self.board.publish(
            SessionStatus(
                number=self.board.next_number,
                conversation_id=session.sid,
                owner=owner,
                state=session.state,
                agent_state=view.agent_state,
                head=view.head,
                followers=session.event_stream.feed.followers,
                cost=view.cost,
                at=self._parts.clock(),
                problem=None if session.problem is None else session.problem.message,
            )
        )

    def _ended(self, session: AgentSession, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a session's life raised", conversation_id=session.sid, exc_info=error)
        if self._sessions.get(session.sid) is session:
            del self._sessions[session.sid], self._tasks[session.sid], self._rows[session.sid]
            self._idle.forget(session.sid)
