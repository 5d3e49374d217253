"""Looks after what an earlier server left when it ended: a turn that was cut off goes on."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, repeat

import structlog

from openhands_sessions.core.errors import (
    AtCapacity,
    RuntimeUnavailable,
    SessionsError,
    StageFailed,
    StorageUnavailable,
)
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.store import ConversationRow, SessionStore
from openhands_sessions.service.session_registry import SessionRegistry
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.event_stream import folded

log = structlog.get_logger(__name__)

WAITS = (0.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds before each try; the last of them before every further one. The engine of the sandboxes may be started later
than the server."""


class Recovery:
    """One server's. `open` gives a conversation's session, or a new one where that has failed."""

    def __init__(
        self,
        store: SessionStore,
        directory: SessionRegistry,
        open: Callable[[ConversationRow], Awaitable[AgentSession]],
    ) -> None:
        self._store = store
        self._directory = directory
        self._open = open

    async def run(self, waits: Sequence[float] = WAITS) -> None:
        """Returns when nothing is left to be done. One conversation after the other, so that new work is not held up;
        those whose sandbox or log cannot be reached, or for which there is no room, are tried again."""
        left = await self._store.held()
        for wait in chain(waits, repeat(waits[-1])):
            await asyncio.sleep(wait)
            left = [sid for sid in left if not await self._looked_after(sid)]
            if not left:
                return

    async def _looked_after(self, sid: ConversationId) -> bool:
        """False where it is worth another try."""
        try:
            row = await self._store.conversations.get(sid)
            if row is None or self._is_live(sid):
                return True
            view = await folded(self._store.log(sid), await self._store.snapshots.load(sid))
            if self._is_live(sid):
                return True  # opened meanwhile, and to take its term now would end it
            if (view.owed and view.pending is None) or view.stopping is not None:
                return await self._taken_up(row)
            await self._store.release(sid, await self._store.claim(sid), row.updated_at)
        except SessionsError as error:
            log.warning("a conversation could not be taken up again", conversation_id=sid, problem=error.message)
            return not isinstance(error, AtCapacity | StorageUnavailable)
        return True

    def _is_live(self, sid: ConversationId) -> bool:
        session = self._directory.find(sid)
        return session is not None and session.accepting

    async def _taken_up(self, row: ConversationRow) -> bool:
        session = await self._open(row)
        await session.settled()
        problem = session.problem
        return not (isinstance(problem, StageFailed) and problem.cause_name == RuntimeUnavailable.__name__)
