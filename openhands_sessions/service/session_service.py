"""The conversations of one store and the sessions of this process: opened, owned, described, recovered."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from openhands_sessions.core.errors import AlreadyExists, BadInput, NotFound, StorageError, StorageUnavailable
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.ids import UNNUMBERED, ConversationId
from openhands_sessions.core.lifecycle import SET_UP, SessionState
from openhands_sessions.core.repository import Repository
from openhands_sessions.core.settings import begun, holding
from openhands_sessions.ports.access import Overview, Principal, SessionStatus
from openhands_sessions.ports.gateway import EndReason, SessionInfo, SessionSpec
from openhands_sessions.ports.store import ConversationRow, SessionStore
from openhands_sessions.service.expected_clients import ExpectedClients
from openhands_sessions.service.initial_input import InitialInputStore
from openhands_sessions.service.recovery import WAITS, Recovery
from openhands_sessions.service.session_registry import SessionRegistry
from openhands_sessions.service.settings import SettingsStore, secret_of, without_secret
from openhands_sessions.service.title_generation import TitleGenerator
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.setup import STAGES, InitialInput

log = structlog.get_logger(__name__)


SET_UP_ENDED = (SessionState.READY, SessionState.RUNNING, SessionState.ERROR)

_STATE_CHANGE = f"observation:{AgentStateChangedObservation.KIND}"


class SessionService:
    """Conversations of one store, sessions of one process; the ports of each caller are made of it."""

    def __init__(
        self,
        store: SessionStore,
        registry: SessionRegistry,
        settings: SettingsStore,
        initial_input: InitialInputStore,
        clock: Callable[[], datetime],
        *,
        expected: ExpectedClients,
        local_repositories: bool = False,
        titles: TitleGenerator | None = None,
    ) -> None:
        """Without `titles`, conversations bear their ids until a user names them."""
        self._local_repositories = local_repositories
        self.store = store
        self.registry = registry
        self._settings = settings
        self._initial_input = initial_input
        self._expected = expected
        self._clock = clock
        self._titles = titles
        self._recovery = Recovery(store, registry, partial(self.session, cause="recovery"))

    async def row(self, principal: Principal, sid: ConversationId) -> ConversationRow:
        """The caller's conversation: the one place where ownership is decided. Raises NotFound, for someone else's as
        for an unknown one."""
        row = self.registry.row(sid) or await self.store.conversations.get(sid)
        if row is None or row.owner != principal.owner:
            raise NotFound("conversation", sid)
        return row

    async def open(self, principal: Principal, spec: SessionSpec) -> ConversationRow:
        """The conversation's row, its session live; see `Gateway.open`."""
        row = self.registry.row(spec.id) or await self.store.conversations.get(spec.id)
        if row is None:
            row = await self._created(principal, spec)
        if row.owner != principal.owner:
            raise NotFound("conversation", spec.id)
        session = await self.session(row)
        if row.title is None and row.initial_message:
            self.title(session)
        return row

    async def session(self, row: ConversationRow, cause: str = "asked for") -> AgentSession:
        """The live session of a conversation, or a new one; `cause` stands in the log. Raises AtCapacity, BadInput."""
        session = self.registry.find(row.id)
        if session is not None and session.accepting:
            return session
        kept = await self._settings.kept(row.id, row.settings)
        settings = await self._settings.merged(row.owner, kept)
        if row.began_with is not None:
            settings = holding(settings, row.began_with)
        else:
            row = await self._kept(row, begun(settings))
        return await self.registry.open(row, lambda: settings, self._initial(row), cause)

    async def close(self, row: ConversationRow, reason: EndReason) -> None:
        """End the session. After a stop, the conversation begins again with the settings of that time."""
        self._expected.discard(row.id)
        if reason == "stopped" and row.began_with is not None:
            await self._kept(row, None)
        await self.registry.close(row.id, reason)

    def title(self, session: AgentSession) -> None:
        """A user has said something: see to it that the conversation has a title."""
        if self._titles is not None:
            self._titles.spoken(session)

    async def forget(self, sid: ConversationId) -> None:
        """Delete the files that belong to a conversation."""
        await self._settings.forget(sid)

    @property
    def accepting(self) -> bool:
        return self.registry.accepting

    @property
    def problem(self) -> str | None:
        return self.store.problem

    @property
    def live_sessions(self) -> int:
        return len(self.registry)

    def has_room(self, sid: str | None) -> bool:
        """A client that joins a live session takes no room. One that names no conversation yet may do so, or be an
        operator."""
        if not sid or not self.registry.accepting:
            return self.registry.accepting
        return not self.registry.full or self.registry.find(ConversationId(sid)) is not None

    def idle_time(self, since: float) -> float:
        return self.registry.idle_time(since)

    def watch(self) -> AsyncIterator[Overview | Sequence[SessionStatus]]:
        return self.registry.board.watch()

    def end_watching(self) -> None:
        self.registry.board.end()

    async def expect_clients(self) -> None:
        await self._expected.begin()

    async def recover(self, waits: Sequence[float] = WAITS) -> None:
        """`waits` as Recovery has them."""
        await self._recovery.run(waits)

    async def resume(self, waits: Sequence[float] = WAITS) -> None:
        """`waits` as Recovery has them."""
        await self._recovery.resume(waits)

    async def close_all(self, reason: EndReason) -> None:
        if self.registry.accepting:
            self.registry.accepting = False
            await self._expected.end(self.registry.live)
        await self.registry.close_all(reason)

    async def _created(self, principal: Principal, spec: SessionSpec) -> ConversationRow:
        if not spec.create:
            raise NotFound("conversation", spec.id)
        if spec.checkout is not None and spec.checkout.local and not self._local_repositories:
            raise BadInput("repository", "must not lie on the server's own machine")
        self.registry.check_room()
        secret = secret_of(spec.settings)
        settings = await self._settings.merged(principal.owner, spec.settings)
        spec, replay, images = await self._initial_input.store(spec)
        moment = self._clock()
        row = ConversationRow(
            id=spec.id,
            owner=principal.owner,
            created_at=moment,
            updated_at=moment,
            title=spec.title,
            trigger=spec.trigger,
            initial_message=spec.initial_message,
            images_key=images,
            replay_key=replay,
            repository=spec.checkout,
            checkout=spec.checkout is not None,
            settings=without_secret(spec.settings),
            began_with=begun(settings),
        )
        try:
            await self.store.conversations.create(row)
        except AlreadyExists:
            return await self.row(principal, spec.id)
        except (BadInput, StorageError):
            await self._initial_input.forget(spec.id, replay, images)
            raise
        # Only now is the id ours, and with it the place where its key is kept.
        await self._settings.keep(spec.id, secret)
        log.info("a conversation was created", conversation_id=row.id, owner=row.owner, cause=row.trigger)
        return row

    async def _kept(self, row: ConversationRow, began_with: dict[str, Json] | None) -> ConversationRow:
        """The row with the settings that hold from now on; while nothing can be stored, they hold for this session."""
        with suppress(StorageUnavailable):
            return await self.store.conversations.update(row.id, {"began_with": began_with})
        return row

    def _initial(self, row: ConversationRow) -> InitialInput:
        images, replay = row.images_key, row.replay_key
        return InitialInput(
            message=row.initial_message,
            images=None if images is None else partial(self._initial_input.images, row.id, images),
            repository=row.repository if row.checkout else None,
            replay=None if replay is None else partial(self._initial_input.steps, row.id, replay),
            author=row.owner,
        )

    def summary(self, row: ConversationRow) -> SessionInfo:
        """A row as lists show it, without looking into its log."""
        session = self.registry.find(row.id)
        live = session is not None and session.state is not SessionState.CLOSED
        view = None if session is None else session.event_stream.view
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
            agent_state=None if view is None else view.agent_state,
            runtime_status=None if session is None or not live else runtime_status(session.state),
            head=UNNUMBERED if view is None else view.head,
            last_state=UNNUMBERED if view is None else view.last_state,
            followers=0 if session is None else session.event_stream.feed.followers,
            problem=None if session is None or session.problem is None else session.problem.message,
            expected=expected,
        )

    async def describe(self, row: ConversationRow) -> SessionInfo:
        """As `summary`, with what the log's end says where its session has not folded it yet; waits for no fold."""
        info, log = self.summary(row), self.store.log(row.id)
        if info.head != UNNUMBERED:
            return info
        head = await log.head()
        if self.registry.find(row.id) is None:
            return replace(info, head=head)
        async for batch in log.read(before=head + 1, reverse=True):
            for entry in batch:
                if entry.kind == _STATE_CHANGE:
                    event = decode(entry.text, entry.schema)
                    state = event.agent_state if isinstance(event, AgentStateChangedObservation) else None
                    return replace(info, head=head, last_state=entry.id, agent_state=state)
        return replace(info, head=head)


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
