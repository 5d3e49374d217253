"""One caller's Gateway over the sessions of this process."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress

import structlog

from openhands_sessions.core.commands import Command, SendMessage, SetModel, Stop
from openhands_sessions.core.errors import Forbidden, NotAccepting, SessionsError
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.history_commands import Compact, EditMessage, Merge, Seed
from openhands_sessions.core.ids import UNNUMBERED, ConversationId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.money import dollars
from openhands_sessions.core.permissions import COMMANDS, Permission, needed_for
from openhands_sessions.core.seeding import earlier_messages
from openhands_sessions.core.settings import public
from openhands_sessions.ports.access import Principal
from openhands_sessions.ports.gateway import (
    Accepted,
    Deliver,
    EndReason,
    FeedItem,
    SessionHandle,
    SessionInfo,
    SessionSpec,
    SessionUsage,
)
from openhands_sessions.ports.store import ConversationRow
from openhands_sessions.service.remembered_rules import remembers
from openhands_sessions.service.session_service import SessionService, owns
from openhands_sessions.service.watchers import until_lapse
from openhands_sessions.session.command_handler import SubmittedCommand
from openhands_sessions.session.idempotency import IdempotencyKey
from openhands_sessions.session.stop import record_stop

log = structlog.get_logger(__name__)

AUDITED = {kind: re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower() for kind in COMMANDS}
"""How an audit log names commands: `send_message`, `set_model`, …"""
SEED_KEY, MESSAGE_KEY = "seed_messages", "initial_user_msg"
"""The idempotency keys of what a conversation begins with."""
REVIVALS = 3
"""How often a command is carried to a session that closes just then."""


class LocalGateway:
    """Sees the conversations of one principal, and those that are shared with it."""

    def __init__(
        self, sessions: SessionService, principal: Principal, delete: Callable[[ConversationId], Awaitable[object]]
    ) -> None:
        """`delete` deletes a conversation that could not be seeded."""
        self._sessions = sessions
        self._delete = delete
        self._registry = sessions.registry
        self._principal = principal

    async def open(self, spec: SessionSpec) -> SessionInfo:
        seeds = bool(spec.seed_messages)
        if seeds:
            await asyncio.to_thread(earlier_messages, spec.seed_messages, "seed_messages")  # before anything is made
        bare = evolve(spec, initial_message=None, image_urls=()) if seeds else spec
        row, permission, made = await self._sessions.open(self._principal, bare)
        if made and seeds:
            await self._seed_or_delete(spec)
        elif seeds and owns(self._principal, row):
            await self._seed(spec)
        return evolve(await self._sessions.descriptions.describe(row), permission=permission)

    async def _seed_or_delete(self, spec: SessionSpec) -> None:
        try:
            await self._seed(spec)
        except BaseException:
            try:
                await self._delete(spec.id)
            except SessionsError as error:
                log.warning(
                    "a conversation that could not be seeded was not deleted",
                    conversation_id=spec.id,
                    problem=error.message,
                )
            raise

    async def _seed(self, spec: SessionSpec) -> None:
        """Seed a conversation in which nothing was said yet, then say the first message; what was done before is not
        done again."""
        row = await self._sessions.row(self._principal, spec.id, Permission.OWN)
        if (await self._sessions.descriptions.view(row)).first_message != UNNUMBERED:
            return
        await self.submit(spec.id, Seed(messages=spec.seed_messages), key=SEED_KEY)
        if spec.initial_message is not None:
            said = SendMessage(content=spec.initial_message, image_urls=spec.image_urls)
            await self.submit(spec.id, said, key=MESSAGE_KEY)

    async def submit(self, sid: ConversationId, command: Command, *, key: str | None = None) -> Accepted:
        idempotency = None if key is None else IdempotencyKey.of(key, command)
        author, needs = self._principal.owner, needed_for(command)
        await self._check_other(command)
        row, permission = None, Permission.OWN
        for _ in range(REVIVALS):
            session = self._registry.find(sid)
            if session is None or not session.accepting or not self._owns(sid):
                if row is None:
                    row, permission = await self._sessions.permitted(self._principal, sid, needs)
                session = await self._sessions.session(row, address=self._address(row))
            try:
                accepted = await session.submit(command, idempotency, author, permission)
                if isinstance(command, SendMessage | EditMessage):
                    self._sessions.title(session)
                if remembers(command):
                    row = row or await self._sessions.row(self._principal, sid, needs)
                    await self._sessions.remember(row, accepted)
                self._sessions.note(self._principal, AUDITED[type(command)], sid, event=accepted.id)
                return accepted
            except SessionsError as error:
                self._note_refusal(sid, error)
                known = session.event_stream.view.head != UNNUMBERED
                if error is session.problem and isinstance(command, Stop) and known:
                    return await record_stop(session.event_stream, idempotency, author, command.turn)
                if error is session.problem and isinstance(command, SetModel) and known:
                    return await session.switch_failed(SubmittedCommand(command, idempotency, author), command)
                begun = isinstance(command, Compact | Seed)  # it was stopped, perhaps
                closes = not session.accepting and session.problem is None and isinstance(error, NotAccepting)
                if begun or not closes:
                    raise
        raise NotAccepting("the session is closing; send it again")

    def _note_refusal(self, sid: ConversationId, error: SessionsError) -> None:
        """A session refuses what only the owner may answer."""
        if isinstance(error, Forbidden):
            self._sessions.note(self._principal, "refused", sid, needs=Permission.OWN.value)

    async def _check_other(self, command: Command) -> None:
        """Raises NotFound where the command names another conversation that the caller may not read."""
        if isinstance(command, Merge) and command.conversation is not None:
            await self._sessions.row(self._principal, command.conversation, Permission.VIEW)

    @asynccontextmanager
    async def follow(
        self, sid: ConversationId, after: int, *, deliver: Deliver | None = None
    ) -> AsyncIterator[AsyncIterator[FeedItem]]:
        principal = self._principal
        # Before it is asked what the caller may do: a right that ends in between ends this too.
        with self._sessions.watchers.joined(sid, principal.owner, principal.grantee) as watcher:
            row = await self._sessions.row(principal, sid, Permission.VIEW)
            session = self._registry.find(sid)
            live = session is not None and session.state is not SessionState.CLOSED
            if not live and not self._registry.programs.elsewhere(row):
                await self._sessions.session(row, address=self._address(row))
            self._sessions.note(principal, "followed", sid)
            # A failed session is not replaced here, or each follower would build it again and again.
            items = self._registry.feed(sid).follow(after, deliver)
            try:
                async with self._registry.kept_up_to_date(row):
                    if owns(principal, row):
                        yield items
                    else:
                        async with aclosing(until_lapse(items, watcher)) as bounded:
                            yield bounded
            finally:
                try:
                    await items.aclose()
                finally:
                    self._registry.released(sid)

    async def describe(self, sid: ConversationId) -> SessionInfo:
        row, permission = await self._sessions.permitted(self._principal, sid, Permission.VIEW)
        info = await self._sessions.descriptions.describe(row, self._principal.owner)
        return evolve(info, permission=permission)

    async def ready(self, sid: ConversationId, within: float) -> None:
        await self._sessions.row(self._principal, sid, Permission.VIEW)
        session = self._registry.find(sid)
        if session is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await session.settled()

    async def close(self, sid: ConversationId, reason: EndReason) -> None:
        await self._sessions.close(await self._sessions.row(self._principal, sid, Permission.WRITE), reason)
        self._sessions.note(self._principal, "closed", sid)

    def session(self, sid: ConversationId) -> SessionHandle | None:
        session = self._registry.find(sid)
        if session is None or not self._owns(sid):
            return None
        spent = session.event_stream.view.spent
        usage = SessionUsage(dollars(spent.cost), spent.prompt_tokens, spent.completion_tokens)
        return SessionHandle(session.state, public(session.settings), usage)

    def _owns(self, sid: ConversationId) -> bool:
        """Whether it is the caller's own conversation, and live."""
        row = self._registry.row(sid)
        return row is not None and owns(self._principal, row)

    def _address(self, row: ConversationRow) -> str | None:
        """From where a session is opened, as its limit counts it: one that a guest opens counts for its owner alone."""
        return self._principal.address if owns(self._principal, row) else None
