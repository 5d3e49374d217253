"""The Gateway over this process's own directory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

from openhands_sessions.core.commands import Command, SendMessage, Stop
from openhands_sessions.core.errors import (
    AlreadyExists,
    BadInput,
    NotAccepting,
    NotFound,
    SessionsError,
    StorageError,
)
from openhands_sessions.core.ids import UNNUMBERED, ConversationId
from openhands_sessions.core.lifecycle import SET_UP, SessionState
from openhands_sessions.core.repository import Repository
from openhands_sessions.ports.gateway import Accepted, EndReason, FeedItem, SessionInfo, SessionSpec
from openhands_sessions.ports.store import ConversationRow, SessionStore
from openhands_sessions.service.initial_input import InitialInputStore
from openhands_sessions.service.recovery import WAITS, Recovery
from openhands_sessions.service.session_registry import SessionRegistry
from openhands_sessions.service.settings import SettingsStore, secret_of, without_secret
from openhands_sessions.service.title_generation import TitleGenerator
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.idempotency import IdempotencyKey
from openhands_sessions.session.setup import STAGES, InitialInput

REVIVALS = 3
"""How often a command is carried to a session that closes just then."""


class LocalGateway:
    """Conversations of one store, sessions of one process."""

    def __init__(
        self,
        store: SessionStore,
        directory: SessionRegistry,
        settings: SettingsStore,
        initial_input: InitialInputStore,
        clock: Callable[[], datetime],
        *,
        local_repositories: bool = False,
        titles: TitleGenerator | None = None,
    ) -> None:
        """Without `titles`, conversations are called by their ids until somebody names them."""
        self._local_repositories = local_repositories
        self._store = store
        self._directory = directory
        self._settings = settings
        self._initial_input = initial_input
        self._clock = clock
        self._titles = titles

    async def open(self, spec: SessionSpec) -> SessionInfo:
        row = await self._store.conversations.get(spec.id)
        if row is None:
            row = await self._created(spec)
        if row.owner != spec.owner:
            raise NotFound("conversation", spec.id)
        session = await self._session(row)
        if row.title is None and row.initial_message:
            self._spoken(session)
        return await self._describe(row)

    async def submit(self, sid: ConversationId, command: Command, *, key: str | None = None) -> Accepted:
        keyed = None if key is None else IdempotencyKey.of(key, command)
        for _ in range(REVIVALS):
            session = self._directory.find(sid)
            if session is None or not session.accepting:
                session = await self._session(await self._row(sid))
            try:
                accepted = await session.submit(command, keyed)
                if isinstance(command, SendMessage):
                    self._spoken(session)
                return accepted
            except SessionsError as error:
                if error is session.problem and isinstance(command, Stop):
                    return await self._directory.stop_failed(session, keyed, None)
                if session.accepting or session.problem is not None or not isinstance(error, NotAccepting):
                    raise
        raise NotAccepting("the session is closing; send it again")

    @asynccontextmanager
    async def follow(self, sid: ConversationId, after: int) -> AsyncIterator[AsyncIterator[FeedItem]]:
        row = await self._row(sid)
        session = self._directory.find(sid)
        if session is None or session.state is SessionState.CLOSED:
            await self._session(row)
        # A failed session is not replaced here, or each follower would build it again and again.
        items = self._directory.feeds.of(sid).follow(after)
        try:
            yield items
        finally:
            await items.aclose()
            self._directory.released(sid)

    async def describe(self, sid: ConversationId) -> SessionInfo:
        return await self._describe(await self._row(sid))

    async def close(self, sid: ConversationId, reason: EndReason) -> None:
        await self._directory.close(sid, reason)

    async def recover(self, waits: Sequence[float] = WAITS) -> None:
        """Look after the conversations that an earlier server held when it ended; `waits` as Recovery has them."""
        await Recovery(self._store, self._directory, self._session).run(waits)

    async def ready(self, sid: ConversationId, within: float) -> None:
        """Wait until the session's set-up has ended, well or not, but no longer than so many seconds."""
        session = self._directory.find(sid)
        if session is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await session.settled()

    def live(self, sid: ConversationId) -> AgentSession | None:
        """The session itself, for edges in the same process; None where none is live."""
        return self._directory.find(sid)

    def retitled(self, sid: ConversationId, title: str) -> None:
        """Tell whoever follows that the conversation has a new title."""
        self._directory.retitled(sid, title)

    def _spoken(self, session: AgentSession) -> None:
        if self._titles is not None:
            self._titles.spoken(session)

    async def _created(self, spec: SessionSpec) -> ConversationRow:
        if not spec.create:
            raise NotFound("conversation", spec.id)
        if spec.checkout is not None and spec.checkout.local and not self._local_repositories:
            raise BadInput("repository", "must not lie on the server's own machine")
        self._directory.check_room()
        secret = secret_of(spec.settings)
        await self._settings.merged(spec.owner, spec.settings)
        spec, kept = await self._initial_input.store(spec)
        moment = self._clock()
        row = ConversationRow(
            id=spec.id,
            owner=spec.owner,
            created_at=moment,
            updated_at=moment,
            title=spec.title,
            trigger=spec.trigger,
            initial_message=spec.initial_message,
            images_key=kept.images,
            replay_key=kept.replay,
            repository=spec.checkout,
            checkout=spec.checkout is not None,
            settings=without_secret(spec.settings),
        )
        try:
            await self._store.conversations.create(row)
        except AlreadyExists:
            return await self._row(spec.id)
        except (BadInput, StorageError):
            await self._initial_input.forget(spec.id, kept)
            raise
        # Only now is the id ours, and with it the place where its key is kept.
        await self._settings.keep(spec.id, secret)
        return row

    async def _row(self, sid: ConversationId) -> ConversationRow:
        row = await self._store.conversations.get(sid)
        if row is None:
            raise NotFound("conversation", sid)
        return row

    async def _session(self, row: ConversationRow) -> AgentSession:
        session = self._directory.find(row.id)
        if session is not None and session.accepting:
            return session
        kept = await self._settings.kept(row.id, row.settings)
        settings = await self._settings.merged(row.owner, kept)
        return await self._directory.open(row.id, row.owner, lambda: settings, self._opening(row))

    def _opening(self, row: ConversationRow) -> InitialInput:
        images, replay = row.images_key, row.replay_key
        return InitialInput(
            message=row.initial_message,
            images=None if images is None else partial(self._initial_input.images, row.id, images),
            repository=row.repository if row.checkout else None,
            replay=None if replay is None else partial(self._initial_input.steps, row.id, replay),
        )

    def summary(self, row: ConversationRow) -> SessionInfo:
        """A row as lists show it, without looking into its log."""
        session = self._directory.find(row.id)
        live = session is not None and session.state is not SessionState.CLOSED
        view = None if session is None else session.event_stream.view
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
        )

    async def _describe(self, row: ConversationRow) -> SessionInfo:
        session = self._directory.find(row.id)
        if session is not None:
            await session.event_stream.loaded()
        info = self.summary(row)
        return info if info.head != UNNUMBERED else replace(info, head=await self._store.log(row.id).head())


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
