"""One caller's Gateway over the sessions of this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from openhands_sessions.core.commands import Command, SendMessage, SetModel, Stop
from openhands_sessions.core.errors import NotAccepting, SessionsError
from openhands_sessions.core.history_commands import Compact, EditMessage
from openhands_sessions.core.ids import UNNUMBERED, ConversationId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.money import dollars
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
from openhands_sessions.service.remembered_rules import remembers
from openhands_sessions.service.session_service import SessionService
from openhands_sessions.session.command_handler import SubmittedCommand
from openhands_sessions.session.idempotency import IdempotencyKey
from openhands_sessions.session.stop import record_stop

REVIVALS = 3
"""How often a command is carried to a session that closes just then."""


class LocalGateway:
    """Sees the conversations of one principal."""

    def __init__(self, sessions: SessionService, principal: Principal) -> None:
        self._sessions = sessions
        self._registry = sessions.registry
        self._principal = principal

    async def open(self, spec: SessionSpec) -> SessionInfo:
        return await self._sessions.descriptions.describe(await self._sessions.open(self._principal, spec))

    async def submit(self, sid: ConversationId, command: Command, *, key: str | None = None) -> Accepted:
        idempotency = None if key is None else IdempotencyKey.of(key, command)
        author = self._principal.owner
        row = None
        for _ in range(REVIVALS):
            session = self._registry.find(sid)
            if session is None or not session.accepting or self._registry.owner(sid) != author:
                row = row or await self._sessions.row(self._principal, sid)
                session = await self._sessions.session(row, address=self._principal.address)
            try:
                accepted = await session.submit(command, idempotency, author)
                if isinstance(command, SendMessage | EditMessage):
                    self._sessions.title(session)
                if remembers(command):
                    await self._sessions.remember(await self._sessions.row(self._principal, sid), accepted)
                return accepted
            except SessionsError as error:
                known = session.event_stream.view.head != UNNUMBERED
                if error is session.problem and isinstance(command, Stop) and known:
                    return await record_stop(session.event_stream, idempotency, author, command.turn)
                if error is session.problem and isinstance(command, SetModel) and known:
                    return await session.switch_failed(SubmittedCommand(command, idempotency, author), command)
                begun = isinstance(command, Compact)  # it was stopped, perhaps
                closes = not session.accepting and session.problem is None and isinstance(error, NotAccepting)
                if begun or not closes:
                    raise
        raise NotAccepting("the session is closing; send it again")

    @asynccontextmanager
    async def follow(
        self, sid: ConversationId, after: int, *, deliver: Deliver | None = None
    ) -> AsyncIterator[AsyncIterator[FeedItem]]:
        row = await self._sessions.row(self._principal, sid)
        session = self._registry.find(sid)
        if session is None or session.state is SessionState.CLOSED:
            await self._sessions.session(row, address=self._principal.address)
        # A failed session is not replaced here, or each follower would build it again and again.
        items = self._registry.feed(sid).follow(after, deliver)
        try:
            yield items
        finally:
            try:
                await items.aclose()
            finally:
                self._registry.released(sid)

    async def describe(self, sid: ConversationId) -> SessionInfo:
        row = await self._sessions.row(self._principal, sid)
        return await self._sessions.descriptions.describe(row, self._principal.owner)

    async def ready(self, sid: ConversationId, within: float) -> None:
        await self._sessions.row(self._principal, sid)
        session = self._registry.find(sid)
        if session is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await session.settled()

    async def close(self, sid: ConversationId, reason: EndReason) -> None:
        await self._sessions.close(await self._sessions.row(self._principal, sid), reason)

    def session(self, sid: ConversationId) -> SessionHandle | None:
        session = self._registry.find(sid)
        if session is None or self._registry.owner(sid) != self._principal.owner:
            return None
        spent = session.event_stream.view.spent
        usage = SessionUsage(dollars(spent.cost), spent.prompt_tokens, spent.completion_tokens)
        return SessionHandle(session.state, public(session.settings), usage)
