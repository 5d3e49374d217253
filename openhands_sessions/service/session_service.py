"""The conversations of one store and the sessions of this process: opened, owned, described, recovered."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog

from openhands_sessions.core.errors import (
    AlreadyExists,
    BadInput,
    Forbidden,
    LimitReached,
    NotFound,
    StorageError,
    StorageUnavailable,
    Unauthorized,
)
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.masking import SecretMasker
from openhands_sessions.core.measurements import Measurements
from openhands_sessions.core.permissions import Permission
from openhands_sessions.core.settings import SessionSettings, begun, secrets
from openhands_sessions.ports.access import Principal
from openhands_sessions.ports.audit import AuditLog
from openhands_sessions.ports.gateway import Accepted, EndReason, SessionSpec
from openhands_sessions.ports.operations import Overview, SessionFigures, SessionLimits, SessionStatus
from openhands_sessions.ports.store import ConversationRow, SessionStore, StoredLimits
from openhands_sessions.service.admission import Reservation
from openhands_sessions.service.expected_clients import ExpectedClients
from openhands_sessions.service.initial_input import InitialInputStore
from openhands_sessions.service.recovery import WAITS, Recovery
from openhands_sessions.service.remembered_rules import remembered_rules
from openhands_sessions.service.session_descriptions import SessionDescriptions
from openhands_sessions.service.session_registry import SessionRegistry
from openhands_sessions.service.settings import SettingsStore, secret_of, without_secret
from openhands_sessions.service.title_generation import TitleGenerator
from openhands_sessions.service.watchers import Watchers
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.setup import InitialInput

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConversationLimits:
    """What the conversations of one user may take, and whether one may begin with a repository of the server's
    machine."""

    stored: StoredLimits
    local_repositories: bool = False


_REFUSALS = {
    Permission.WRITE: "you may look at this conversation, and not change it: ask its owner to let you write",
    Permission.OWN: "this is for the owner of the conversation alone",
}


def owns(principal: Principal, row: ConversationRow) -> bool:
    """Whether it is the caller's own conversation."""
    return principal.link is None and row.owner == principal.owner


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
        limits: ConversationLimits,
        titles: TitleGenerator | None = None,
        audit: AuditLog | None = None,
    ) -> None:
        """Without `titles`, conversations bear their ids until a user names them."""
        self.store = store
        self.registry = registry
        self.watchers = Watchers(self._watched)
        self.descriptions = SessionDescriptions(store, registry, expected, self.watchers)
        self.clock = clock
        self._audit = audit
        self.stored_settings = settings
        self._initial_input = initial_input
        self._expected = expected
        expected.over = registry.lists.renew
        self.conversation_limits = limits
        self._titles = titles
        self._recovery = Recovery(store, registry, partial(self.session, cause="recovery"))

    async def row(self, principal: Principal, sid: ConversationId, needs: Permission) -> ConversationRow:
        """A conversation with which the caller may do so much. Raises as `permitted`."""
        row, _ = await self.permitted(principal, sid, needs)
        return row

    async def permitted(
        self, principal: Principal, sid: ConversationId, needs: Permission
    ) -> tuple[ConversationRow, Permission]:
        """A conversation, and what the caller may do with it: the one place where that is decided. Raises NotFound for
        one that is neither the caller's nor shared with it, as for an unknown one; Forbidden where the caller may not
        do so much; Unauthorized for a link that was revoked."""
        return await self._permitted(principal, sid, await self._found(sid), needs)

    async def _found(self, sid: ConversationId) -> ConversationRow | None:
        return self.registry.row(sid) or await self.store.conversations.get(sid)

    async def _permitted(
        self, principal: Principal, sid: ConversationId, row: ConversationRow | None, needs: Permission
    ) -> tuple[ConversationRow, Permission]:
        if row is not None and owns(principal, row):
            return row, Permission.OWN
        # Also for an unknown one, which is then answered neither sooner nor later.
        shared = (await self.store.shares.permissions(principal.grantee, [sid])).get(sid)
        if row is None or shared is None:
            if row is not None and principal.link is not None and principal.link.conversation == sid:
                raise Unauthorized("the link was revoked: ask whoever gave it to you for a new one")
            raise NotFound("conversation", sid)
        if not shared.covers(needs):
            self.note(principal, "refused", sid, needs=needs.value)
            raise Forbidden(_REFUSALS[needs])
        return row, shared

    async def open(self, principal: Principal, spec: SessionSpec) -> tuple[ConversationRow, Permission, bool]:
        """The conversation's row, its session live, what the caller may do, and whether this call has made it; see
        `Gateway.open`."""
        row, permission, made = await self._found(spec.id), Permission.OWN, False
        if row is None and spec.create and principal.link is None:
            with await self.registry.reserve(principal.owner, principal.address) as place:
                row, made = await self._created(principal, spec)
                session = await self.session(row, place=place)
        else:
            row, permission = await self._permitted(principal, spec.id, row, Permission.VIEW)
            if self.registry.programs.elsewhere(row):
                return row, permission, made
            session = await self.session(row, address=principal.address if owns(principal, row) else None)
        if row.title is None and row.initial_message:
            self.title(session)
        return row, permission, made

    async def session(
        self,
        row: ConversationRow,
        cause: str = "asked for",
        *,
        address: str | None = None,
        place: Reservation | None = None,
    ) -> AgentSession:
        """The live session of a conversation, or a new one; `cause` stands in the log. See `SessionRegistry.open`.
        Raises AtCapacity, LimitReached, BadInput, NotAccepting for a conversation that a program runs."""
        session = self.registry.find(row.id)
        if session is not None and session.accepting:
            return session
        self.registry.programs.check(row)
        kept = await self.stored_settings.kept(row.id, row.settings)
        settings = (await self.stored_settings.layered(row.owner, kept)).held(row.began_with)
        settings = self.registry.programs.settings(row.id, settings)
        if row.began_with is None:
            with suppress(StorageUnavailable):  # while nothing can be stored, they hold for this session
                row = await self.store.conversations.update(row.id, {"began_with": begun(settings.settings())})
        initial = self._initial(row)
        return await self.registry.open(row, settings, initial, cause, address=address, place=place)

    async def close(self, row: ConversationRow, reason: EndReason) -> None:
        """End the session. After a stop, the conversation begins again with the settings of that time. Raises
        StorageUnavailable for a stop that could not be stored: the next server would go on with the turn."""
        self._expected.discard(row.id)
        here = self.registry.find(row.id) is not None or self.registry.programs.elsewhere(row)
        if reason == "stopped" and not here and await self.descriptions.asks(row.id):
            # The question is withdrawn by a session.
            await (await self.session(row, cause="a stop")).settled()
        self.registry.lists.changed(row.owner, row.id)  # also where no session is live
        if reason == "stopped" and row.began_with is not None:
            with suppress(StorageError, NotFound):  # a damaged row must not hold up a stop
                await self.store.conversations.update(row.id, {"began_with": None})
        try:
            await self.registry.close(row.id, reason)
        finally:
            if reason in ("stopped", "deleted"):
                self.registry.storage_failures.discard(row.id)

    def note(self, principal: Principal, action: str, sid: ConversationId, **details: Json) -> None:
        """Record what a caller does with a conversation, for whoever reads the audit log."""
        if self._audit is not None:
            place: dict[str, Json] = {"address": principal.address} if principal.address else {}
            self._audit.record(self.clock(), principal.owner, action, sid, **place, **details)

    def title(self, session: AgentSession) -> None:
        """A user has said something: see to it that the conversation has a title."""
        if self._titles is not None:
            self._titles.spoken(session)

    async def remember(self, row: ConversationRow, accepted: Accepted) -> None:
        """Keep what a decision allows for good in its user's settings; again, it changes nothing. Raises BadInput,
        StorageError."""
        await self.stored_settings.remember(row.owner, await remembered_rules(self.store.log(row.id), accepted.id))

    async def masker(self, row: ConversationRow) -> SecretMasker:
        """Knows the secrets that the conversation's owner has now."""
        try:
            return SecretMasker(secrets(await self.settings(row)))
        except BadInput:  # of settings that do not fit together, no session can know a value
            return SecretMasker()

    async def settings(self, row: ConversationRow) -> SessionSettings:
        """Those that a session of the conversation would begin with now. Raises BadInput where they do not fit
        together."""
        kept = await self.stored_settings.kept(row.id, row.settings)
        return (await self.stored_settings.layered(row.owner, kept)).settings()

    async def refresh(self, owner: OwnerId) -> None:
        """Have the owner's live sessions use the credentials for tools that are stored now."""
        for sid in self.registry.live:
            row, session = self.registry.row(sid), self.registry.find(sid)
            if row is None or session is None or row.owner != owner:
                continue
            with suppress(BadInput):  # with settings that do not fit together, the session keeps what it has
                session.credentials.refresh(await self.settings(row))

    async def forget(self, sid: ConversationId) -> None:
        """Delete the files that belong to a conversation."""
        await self.stored_settings.forget(sid)

    @property
    def accepting(self) -> bool:
        return self.registry.accepting

    @property
    def limits(self) -> SessionLimits:
        return self.registry.limits

    @property
    def draining(self) -> bool:
        return self.registry.draining

    @property
    def problem(self) -> str | None:
        return self.store.problem

    @property
    def live_sessions(self) -> int:
        return len(self.registry)

    @property
    def measurements(self) -> Measurements:
        return self.registry.measurements

    def figures(self) -> SessionFigures:
        return self.registry.figures()

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

    async def reject_overdue(self) -> None:
        await self.registry.deadlines.run(partial(self.session, cause="an answer is overdue"))

    async def close_all(self, reason: EndReason) -> None:
        if self.registry.accepting:
            self.registry.accepting = False
            await self._expected.end(self.registry.live)
        await self.registry.close_all(reason)

    async def _created(self, principal: Principal, spec: SessionSpec) -> tuple[ConversationRow, bool]:
        """The conversation, and whether it did not exist yet."""
        if spec.checkout is not None and spec.checkout.local and not self.conversation_limits.local_repositories:
            raise BadInput("repository", "must not lie on the server's own machine")
        secret = secret_of(spec.settings)
        settings = await self.stored_settings.merged(principal.owner, spec.settings)
        stored = await self._initial_input.store(spec)
        spec, moment = stored.spec, self.clock()
        masker = SecretMasker(secrets(settings))
        row = ConversationRow(
            id=spec.id,
            owner=principal.owner,
            created_at=moment,
            updated_at=moment,
            title=masker.of(spec.title),
            trigger=spec.trigger,
            initial_message=masker.of(spec.initial_message),
            images_key=stored.images,
            replay_key=stored.replay,
            repository=spec.checkout,
            checkout=spec.checkout is not None,
            settings=without_secret(spec.settings),
            began_with=begun(settings),
        )
        try:
            await self.store.conversations.create(row, files=stored.size, limits=self.conversation_limits.stored)
        except AlreadyExists:
            return await self.row(principal, spec.id, Permission.VIEW), False
        except (BadInput, LimitReached, StorageError):
            await self._initial_input.forget(stored)
            raise
        # Only now is the id ours, and with it the place where its key is kept.
        await self.stored_settings.keep(spec.id, secret)
        self.registry.lists.changed(row.owner, row.id)
        self.note(principal, "created", row.id, cause=row.trigger)
        log.info("a conversation was created", conversation_id=row.id, owner=row.owner, cause=row.trigger)
        return row, True

    def _watched(self, sid: ConversationId, name: OwnerId) -> None:
        """Whoever is shown who watches is told of others than the owner, whose coming and going is no news."""
        row = self.registry.row(sid)
        if row is not None and name != row.owner:
            self.registry.lists.changed(row.owner, sid)

    def _initial(self, row: ConversationRow) -> InitialInput:
        images, replay = row.images_key, row.replay_key
        return InitialInput(
            message=row.initial_message,
            images=None if images is None else partial(self._initial_input.images, row.id, images),
            repository=row.repository if row.checkout else None,
            replay=None if replay is None else partial(self._initial_input.steps, row.id, replay),
            author=row.owner,
        )
