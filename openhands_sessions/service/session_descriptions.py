"""Conversations as lists and descriptions show them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from openhands_sessions.core.budget import Budget
from openhands_sessions.core.errors import StorageError
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import AgentState
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId, OwnerId
from openhands_sessions.core.lifecycle import SET_UP, SessionState
from openhands_sessions.core.lineage import MAIN
from openhands_sessions.core.money import dollars
from openhands_sessions.core.permissions import Permission
from openhands_sessions.core.repository import Repository
from openhands_sessions.core.stored_view import load_view
from openhands_sessions.core.unread import unread_after
from openhands_sessions.core.view import VIEW_VERSION, ConversationView
from openhands_sessions.ports.gateway import BudgetInfo, SessionInfo
from openhands_sessions.ports.sharing import Grantee
from openhands_sessions.ports.store import ConversationRow, SessionStore
from openhands_sessions.service.expected_clients import ExpectedClients
from openhands_sessions.service.pending_approval import pending_approval
from openhands_sessions.service.session_registry import SessionRegistry
from openhands_sessions.service.watchers import Watchers
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.log_folding import LONG, folded
from openhands_sessions.session.placeholder import readable
from openhands_sessions.session.setup_stages import STAGES

SET_UP_ENDED = (SessionState.READY, SessionState.RUNNING, SessionState.ERROR)

_STATE_CHANGE = f"observation:{AgentStateChangedObservation.KIND}"


class SessionDescriptions:
    """Looks at rows, live sessions and snapshots; into a log only where one conversation is described."""

    def __init__(
        self, store: SessionStore, registry: SessionRegistry, expected: ExpectedClients, watchers: Watchers
    ) -> None:
        self._store = store
        self._registry = registry
        self._expected = expected
        self._watchers = watchers

    async def summaries(self, rows: Sequence[ConversationRow], reader: OwnerId) -> Sequence[SessionInfo]:
        """Rows as lists show them to the reader, without looking into their logs: what is known of one without a
        session is what its newest snapshot says, which a session leaves at its end."""
        theirs = await self._permissions(reader, [row.id for row in rows if row.owner != reader])
        known = [await self._known(row.id) for row in rows]
        asked = [row.id for row, view in zip(rows, known, strict=True) if view is not None and view.notices]
        marks = await self._marks(reader, asked)
        return [
            evolve(self._summary(row, view, marks), permission=theirs.get(row.id, Permission.VIEW))
            if row.owner != reader
            else self._summary(row, view, marks)
            for row, view in zip(rows, known, strict=True)
        ]

    async def view(self, row: ConversationRow) -> ConversationView:
        """The fold of the log, also where no session is live. Raises StorageError."""
        if (view := self._live_view(row.id)) is not None:
            return view
        snapshot = await self._store.snapshots.load(row.id)
        return await folded(self._store.log(row.id), snapshot, self._registry.folding(row.id))

    async def describe(self, row: ConversationRow, reader: OwnerId | None = None) -> SessionInfo:
        """As a list shows it, with what the log's end says where its session has not folded it yet; waits for no long
        fold. Without a reader, nothing is said of what is unread."""
        info = await self._described(row, reader)
        if info.pending is not None:
            with suppress(StorageError):  # then the log says what is wrong
                info = evolve(info, approval=await pending_approval(self._store.log(row.id), await self.view(row)))
        if info.chain is not None:
            return info
        try:
            snapshot = await self._store.snapshots.load(row.id, info.head)
            usable = snapshot is not None and snapshot.version == VIEW_VERSION
            if info.head - (snapshot.head if snapshot is not None and usable else UNNUMBERED) >= LONG:
                return info
            lineage = (await self.view(row)).lineage
        except StorageError:
            return info
        return evolve(info, chain=lineage.path(info.head), dialogue_branch=lineage.branch)

    async def _described(self, row: ConversationRow, reader: OwnerId | None) -> SessionInfo:
        known = await self._known(row.id)
        marks = None if reader is None else await self._marks(reader, [row.id] if known and known.notices else [])
        info, log = self._summary(row, known, marks), self._store.log(row.id)
        if info.head != UNNUMBERED:
            return info
        head = await log.head()
        if self._registry.find(row.id) is None:
            return evolve(info, head=head)
        async for batch in readable(log, before=head + 1, reverse=True):
            for entry in batch:
                if entry.kind == _STATE_CHANGE:
                    event = decode(entry.text, entry.schema)
                    state = event.agent_state if isinstance(event, AgentStateChangedObservation) else None
                    return evolve(info, head=head, last_state=entry.id, agent_state=state)
        return evolve(info, head=head)

    async def _permissions(
        self, reader: OwnerId, sids: Sequence[ConversationId]
    ) -> Mapping[ConversationId, Permission]:
        return await self._store.shares.permissions(Grantee("user", reader), sids) if sids else {}

    def _live_view(self, sid: ConversationId) -> ConversationView | None:
        """What a live session has folded; None before it has."""
        session = self._registry.find(sid)
        return None if session is None or session.event_stream.view.head == UNNUMBERED else session.event_stream.view

    async def asks(self, sid: ConversationId) -> bool:
        """Whether a call awaits an answer, as far as is known without reading a log."""
        known = await self._known(sid)
        return known is not None and known.pending is not None

    async def _known(self, sid: ConversationId) -> ConversationView | None:
        """What is known without reading a log."""
        if self._registry.find(sid) is not None:
            return self._live_view(sid)
        snapshot = await self._store.snapshots.load(sid)
        return load_view(snapshot.text) if snapshot is not None and snapshot.version == VIEW_VERSION else None

    async def _marks(self, reader: OwnerId, sids: Sequence[ConversationId]) -> Mapping[ConversationId, EventId] | None:
        """None where they cannot be read now: that must not keep a conversation from being described."""
        try:
            return await self._store.read_marks.marks(reader, sids) if sids else {}
        except StorageError:
            return None

    def _summary(
        self, row: ConversationRow, known: ConversationView | None, marks: Mapping[ConversationId, EventId] | None
    ) -> SessionInfo:
        session = self._registry.find(row.id)
        view = None if session is None else session.event_stream.view
        known = known if view is None or view.head == UNNUMBERED else view
        live = session is not None and session.state is not SessionState.CLOSED
        expected = row.id in self._expected and (session is None or session.state not in SET_UP_ENDED)
        repository = row.repository or Repository()
        return SessionInfo(
            id=row.id,
            owner=row.owner,
            title=row.title or f"Conversation {row.id[:5]}",
            created_at=row.created_at,
            updated_at=row.updated_at if session is None else max(row.updated_at, session.event_stream.updated_at),
            trigger=row.trigger,
            repository=repository.name or None,
            branch=repository.branch,
            git_provider=repository.provider,
            state=session.state if session is not None and live else None,
            agent_state=_agent_state(view, known),
            runtime_status=None if session is None or not live else runtime_status(session.state),
            head=UNNUMBERED if view is None else view.head,
            last_state=UNNUMBERED if view is None else view.last_state,
            followers=0 if session is None else session.event_stream.feed.followers,
            problem=None if session is None or session.problem is None else session.problem.message,
            chain=None if view is None or view.head == UNNUMBERED else view.chain,
            dialogue_branch=MAIN if view is None else view.lineage.branch,
            expected=expected,
            message_count=None if known is None else known.message_count,
            unread=_unread(row.id, known, marks),
            cost=None if known is None else dollars(known.spent.cost),
            processing=known is not None and known.processing,
            queued=0 if known is None else len(known.queued),
            pending=None if known is None else known.pending,
            budget=None if known is None else _budget(known.budget),
            model=_model(session, known),
            watchers=self._watchers.names(row.id),
        )


def _budget(budget: Budget) -> BudgetInfo:
    return BudgetInfo(
        dollars=None if budget.cap is None else dollars(budget.cap),
        spent=dollars(budget.spent),
        reserved=dollars(budget.held),
        rest=dollars(budget.rest),
    )


def _unread(
    sid: ConversationId, known: ConversationView | None, marks: Mapping[ConversationId, EventId] | None
) -> int | None:
    return None if known is None or marks is None else unread_after(known.notices, marks.get(sid, UNNUMBERED))


def _agent_state(live: ConversationView | None, known: ConversationView | None) -> AgentState | None:
    """Without a session, only that of a question is shown: it needs an answer."""
    if live is not None:
        return live.agent_state
    return known.agent_state if known is not None and known.pending is not None else None


def _model(session: AgentSession | None, known: ConversationView | None) -> str | None:
    if session is not None and session.agent is not None:
        return session.agent.model
    chosen = None if known is None else known.model
    return chosen if chosen is not None or session is None else session.settings.llm_model


def runtime_status(state: SessionState) -> str:
    """The exact status of a session that is in this state."""
    if state in SET_UP:
        return STAGES[state].status
    match state:
        case SessionState.CREATED:
            return STAGES[SessionState.INITIALIZING].status
        case SessionState.READY | SessionState.RUNNING:
            return "STATUS$READY"
        case SessionState.ERROR:
            return "STATUS$ERROR"
        case _:
            return "STATUS$STOPPED"
