"""Which sessions live here, and the feeds of all conversations that are followed or worked on: admission, joining, and
the end of idle sessions."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from weakref import WeakValueDictionary

import structlog

from openhands_sessions.core.errors import AtCapacity, StorageUnavailable
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.events.own import ModelCalledObservation, TurnEndedObservation
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.layered_settings import LayeredSettings
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.money import dollars
from openhands_sessions.ports.foreign_writes import ForeignWrites
from openhands_sessions.ports.gateway import EndReason, Status
from openhands_sessions.ports.operations import SessionFigures, SessionLimits, SessionStatus
from openhands_sessions.ports.store import ConversationRow
from openhands_sessions.service.admission import RETRY_AFTER, Admission, Reservation, Scope
from openhands_sessions.service.approval_deadlines import ApprovalDeadlines
from openhands_sessions.service.foreign_conversations import kept_up_to_date
from openhands_sessions.service.idle_closing import IdleCloser
from openhands_sessions.service.lifecycle_log import log_state
from openhands_sessions.service.list_feed import ListFeeds
from openhands_sessions.service.program_conversations import ProgramConversations
from openhands_sessions.service.shared_settings import SharedSettings
from openhands_sessions.service.status_board import StatusBoard
from openhands_sessions.service.storage_failures import StorageFailures
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.dependencies import Dependencies
from openhands_sessions.session.feed import Feed
from openhands_sessions.session.log_folding import Folding, loading, saving
from openhands_sessions.session.recent_items import RecentMemory
from openhands_sessions.session.rest import rest
from openhands_sessions.session.setup import InitialInput

log = structlog.get_logger(__name__)


class SessionRegistry:
    """Owns the live sessions and their tasks. Each has its place, taken before anything is built."""

    def __init__(
        self,
        parts: Dependencies,
        board: StatusBoard,
        *,
        limits: SessionLimits,
        idle_timeout: float,
        foreign_writes: ForeignWrites | None = None,
    ) -> None:
        """`foreign_writes`: of programs with the same store; None where they cannot be noticed."""
        self.board = board
        self.lists = ListFeeds()
        self.programs = ProgramConversations()
        self.storage_failures = StorageFailures(parts.store)
        self.deadlines = ApprovalDeadlines(parts.store, parts.clock)
        self._parts = parts
        self._foreign_writes = foreign_writes
        self._admission = Admission(limits, self._longest_idle, partial(self.close, reason="idle"))
        self._places: dict[ConversationId, Reservation] = {}
        self._sessions: dict[ConversationId, AgentSession] = {}
        self._rows: dict[ConversationId, ConversationRow] = {}
        self._tasks: dict[ConversationId, asyncio.Task[None]] = {}
        self._idle = IdleCloser(idle_timeout, partial(self.close, reason="idle"))
        self.measurements = parts.measurements
        self.rest = partial(rest, parts)
        self._recent = RecentMemory()
        self._shared = SharedSettings()
        self._feeds: WeakValueDictionary[ConversationId, Feed] = WeakValueDictionary()
        self._changed_at = 0.0
        self.accepting = True
        self._draining = False

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def live(self) -> Sequence[ConversationId]:
        """Whose sessions are live, failed ones included."""
        return [*self._sessions]

    @property
    def full(self) -> bool:
        """Whether a new session would be refused."""
        return not self.accepting or self._draining or self._admission.full

    @property
    def limits(self) -> SessionLimits:
        """How many sessions may be live; one that is set counts from then on."""
        return self._admission.limits

    @limits.setter
    def limits(self, limits: SessionLimits) -> None:
        self._admission.limits = limits
        self.board.renew()

    @property
    def draining(self) -> bool:
        """Whether no new session is admitted, while those that are live go on."""
        return self._draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._draining = draining
        self.board.renew()

    def idle_time(self, started: float) -> float:
        """Seconds for which no session has worked or come to another state, at most those since `started`, a time of
        the loop's."""
        if any(session.busy for session in self._sessions.values()):
            return 0.0
        return asyncio.get_running_loop().time() - max(started, self._changed_at)

    def figures(self) -> SessionFigures:
        """How things stand now."""
        states: Counter[SessionState] = Counter()
        commands = messages = answers = 0
        for session in self._sessions.values():
            view = session.event_stream.view
            states[session.state] += 1
            commands += session.waiting_commands
            messages += len(view.queued)
            answers += view.pending is not None
        return SessionFigures(
            states=states,
            followers=sum(feed.followers for feed in self._feeds.values()),
            waiting_commands=commands,
            queued_messages=messages,
            awaited_answers=answers,
            sandboxes=replace(self._parts.runtimes.counts),
        )

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
            feed = self._feeds[sid] = Feed(self._parts.store.log(sid), self.measurements, self._recent)
        return feed

    @asynccontextmanager
    async def kept_up_to_date(self, row: ConversationRow) -> AsyncIterator[None]:
        """For the length of the block, the feed of a conversation that a program runs has what the program writes."""
        if self._foreign_writes is None or not self.programs.elsewhere(row):
            yield
            return
        async with kept_up_to_date(self.feed(row.id), self._parts.store.log(row.id), self._foreign_writes):
            yield

    def folding(self, sid: ConversationId) -> Folding:
        """How a conversation's log is folded beside those of all others."""
        snapshots, turns = self._parts.store.snapshots, self._parts.fold_turns
        return Folding(load=loading(snapshots, sid), save=saving(snapshots, sid), turns=turns)

    async def reserve(self, owner: OwnerId, address: str | None) -> Reservation:
        """A place for one more session. Raises AtCapacity, LimitReached."""
        self._check_accepting()
        if self._draining:
            raise AtCapacity("the server is draining: it begins no session now", retry_after=RETRY_AFTER)
        return await self._admission.reserve(owner, address)

    async def open(
        self,
        row: ConversationRow,
        settings: LayeredSettings,
        initial: InitialInput,
        cause: str = "asked for",
        *,
        address: str | None = None,
        place: Reservation | None = None,
    ) -> AgentSession:
        """Join the live session, or build one; one that failed or closes makes room for a new one first. Does not wait
        for Ready. `cause` stands in the log. A `place` that was reserved is taken. Raises AtCapacity, LimitReached."""
        while (session := self._sessions.get(row.id)) is not None:
            if session.accepting:
                return session
            await self.close(row.id, "failed")
        if place is None:
            with await self.reserve(row.owner, address) as reserved:
                return await self.open(row, settings, initial, cause, place=reserved)
        self._check_accepting()
        session = self._build(row, settings, initial, cause)
        place.taken, self._places[row.id] = True, place
        return session

    def retitled(self, sid: ConversationId, title: str, owner: OwnerId) -> None:
        """Tell those who follow the conversation, or a list with it, that it has a new title."""
        if (row := self._rows.get(sid)) is not None:
            self._rows[sid] = replace(row, title=title)
        if (feed := self._feeds.get(sid)) is not None:
            feed.publish_transient(Status("info", None, sid, title=title))
        self.lists.changed(owner, sid)

    def _build(
        self, row: ConversationRow, settings: LayeredSettings, initial: InitialInput, cause: str
    ) -> AgentSession:
        sid = row.id
        session = AgentSession(
            sid,
            self._shared.of(settings),
            self.programs.parts(sid, self._parts, settings),
            self.feed(sid),
            owner=row.owner,
            initial=initial,
            on_change=self._changed,
        )
        session.event_stream.listen(partial(self._stored, row.owner, session))
        self._sessions[sid] = session
        self._rows[sid] = row
        task = asyncio.create_task(session.run(), name=f"session {sid}")
        self._tasks[sid] = task
        task.add_done_callback(lambda done: self._ended(session, done))
        self._publish(session, cause)
        return session

    async def close(self, sid: ConversationId, reason: EndReason) -> None:
        """End a session; returns when it is Closed and gone from here. Where the user has ended it, followers are sent
        away, also those of a conversation without a session. Raises StorageUnavailable where it is Closed, and the
        user's stop could not be stored."""
        session = self._sessions.get(sid)
        if session is not None:
            task = self._tasks[sid]
            await session.close(reason)
            await asyncio.wait([task])
        if reason in ("stopped", "deleted") and (feed := self._feeds.get(sid)) is not None:
            feed.end(reason)
        if session is not None and session.stop_is_lost:
            raise StorageUnavailable("the session is closed, but its stop could not be stored: stop it again")

    async def close_all(self, reason: EndReason) -> None:
        """End every session, and accept none from now on."""
        self.accepting = False
        await asyncio.gather(*(self.close(sid, reason) for sid in list(self._sessions)))
        for feed in list(self._feeds.values()):
            feed.end(reason)
        await self._idle.finish()
        self.lists.end()

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
        self.deadlines.note(session)

    def _check_accepting(self) -> None:
        if not self.accepting:
            raise AtCapacity("the server is shutting down; try again in a moment")

    def _longest_idle(self, scope: Scope) -> ConversationId | None:
        return self._idle.longest_idle(lambda sid: scope in self._places[sid].scopes)

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
                cost=dollars(view.spent.cost),
                at=self._parts.clock(),
                problem=None if session.problem is None else session.problem.message,
            )
        )
        self._show(owner, session)

    def _stored(self, owner: OwnerId, session: AgentSession, event: Event) -> None:
        if isinstance(event, TurnEndedObservation):
            self.measurements.turns[event.stop_reason] += 1
        if isinstance(event, ModelCalledObservation):
            self.measurements.models.add(event)
        self._show(owner, session)

    def _show(self, owner: OwnerId, session: AgentSession) -> None:
        """The session, or its view, has changed: its owner's list may have, too."""
        feeds = self.lists.of(owner, session.sid)
        if not feeds:
            return
        view = session.event_stream.view
        problem = None if session.problem is None else session.problem.message
        asked = (view.processing, view.pending, view.queued, view.notices, view.message_count, view.model)
        for feed in feeds:
            feed.session_changed(session.sid, (session.state, problem, view.agent_state, view.spent.cost, *asked))

    def _ended(self, session: AgentSession, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a session's life raised", conversation_id=session.sid, exc_info=error)
        if self._sessions.get(session.sid) is session:
            owner = self._rows[session.sid].owner
            del self._sessions[session.sid], self._tasks[session.sid], self._rows[session.sid]
            self._places.pop(session.sid).release()
            self._idle.forget(session.sid)
            for feed in self.lists.of(owner, session.sid):
                feed.session_ended(session.sid)
