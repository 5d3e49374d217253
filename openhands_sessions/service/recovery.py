"""A turn that was cut off goes on: when an earlier server ended, or because nothing could be stored."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, repeat

import structlog

from openhands_sessions.core.errors import (
    AtCapacity,
    LimitReached,
    RuntimeUnavailable,
    SessionsError,
    StageFailed,
    StorageUnavailable,
)
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.store import ConversationRow, SessionStore
from openhands_sessions.service.session_registry import SessionRegistry
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.log_folding import folded, snapshot_of
from openhands_sessions.session.turn_runner import work_is_left

log = structlog.get_logger(__name__)

WAITS = (0.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds before each try; the last one before every further try. The engine of the sandboxes may start later than the
server."""


class Recovery:
    """`open` gives a conversation's session, or a new one where that has failed."""

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
        """Recover all that no living server holds; returns when nothing is left to do. One conversation after the
        other, so that new work is not delayed. A conversation is tried again while its sandbox or log cannot be
        reached, or while there is no room for its session."""
        left: Sequence[ConversationId] | None = None
        for wait in chain(waits, repeat(waits[-1])):
            await asyncio.sleep(wait)
            try:
                held = await self._store.held() if left is None else left
            except StorageUnavailable:
                continue  # the store tells of it
            left = [sid for sid in held if not await self._recovered(sid)]
            if held and not left:
                log.info("recovery is done")
            if not left:
                return

    async def resume(self, waits: Sequence[float] = WAITS) -> None:
        """Recover those whose sessions fail because nothing can be stored, once it can; until cancelled. One that fails
        again waits longer: a disk with little room takes the store's probe and refuses a turn."""
        failures = self._directory.storage_failures
        while True:
            await failures.wait()
            tries = iter(chain(waits, repeat(waits[-1])))
            while failures.waiting:
                await self._store.until_it_works()  # it probes its disk by itself
                await asyncio.sleep(next(tries))
                for sid in failures.waiting:
                    # One that was stopped meanwhile waits no more.
                    if failures.discard(sid) and not await self._recovered(sid):
                        failures.put(sid)

    async def _recovered(self, sid: ConversationId) -> bool:
        """Whether it is done; False to try again."""
        try:
            row = await self._store.conversations.get(sid)
            if row is None or self._is_live(sid) or self._directory.programs.elsewhere(row):
                return True
            folding, stored = self._directory.folding(sid), await self._store.snapshots.load(sid)
            view = await folded(self._store.log(sid), stored, folding)
            if folding.save is not None and (stored is None or stored.head != view.head):
                await folding.save(snapshot_of(view))  # as sessions do at their end: lists show what it says
                self._directory.lists.changed(row.owner, sid)
            if self._is_live(sid):
                return True  # opened meanwhile: a claim would fence that session
            owed = work_is_left(view) or view.stopping is not None
            cause = "a turn was cut off" if owed else "its session was cut off"
            log.info("a conversation is recovered", conversation_id=sid, owner=row.owner, cause=cause)
            if owed or self._directory.find(sid) is not None:
                return await self._session_is_set_up(row)
            if await self._directory.rest(sid, await self._store.claim(sid), view, row.updated_at) is not None:
                self._directory.deadlines.look()
        except SessionsError as error:
            if not isinstance(error, StorageUnavailable):
                log.warning("a conversation was not recovered", conversation_id=sid, problem=error.message)
            return not isinstance(error, AtCapacity | LimitReached | StorageUnavailable)
        return True

    def _is_live(self, sid: ConversationId) -> bool:
        session = self._directory.find(sid)
        return session is not None and session.accepting

    async def _session_is_set_up(self, row: ConversationRow) -> bool:
        session = await self._open(row)
        await session.settled()
        problem = session.problem
        return not (isinstance(problem, StageFailed) and problem.cause_name == RuntimeUnavailable.__name__)
