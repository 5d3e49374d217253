"""Saves the trajectories of conversations elsewhere, when their sessions end: one task and one timer for all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

import structlog

from openhands_sessions.core.errors import SessionsError, StorageUnavailable
from openhands_sessions.core.ids import ConversationId, EventId, folder_name
from openhands_sessions.core.measurements import Measurements
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.ports.trajectories import PendingUpload, TrajectoryArchive

log = structlog.get_logger(__name__)

AT_ONCE = 2
"""Trajectories that are saved at once."""
LIMIT = 600.0
"""Seconds for one."""
FIRST, LONGEST = timedelta(seconds=5), timedelta(hours=1)
"""Until what failed is tried again, for the first time, and at most."""
PAUSE = 1.0
"""Seconds before the store is asked again after it has refused."""

Export = Callable[[ConversationId], Awaitable[AsyncIterator[bytes] | None]]


class TrajectorySaver:
    """What is to be saved is in the store: what one process has not saved, the next one does. Saved twice, a trajectory
    has the same name, and so takes its own place."""

    def __init__(
        self, store: SessionStore, archive: TrajectoryArchive, clock: Callable[[], datetime], counts: Measurements
    ) -> None:
        self._store = store
        self._queue = store.uploads
        self._archive = archive
        self._clock = clock
        self._counts = counts
        self._changed = asyncio.Event()

    async def owe(self, sid: ConversationId, head: EventId) -> None:
        """A session ends whose events up to `head` are to be saved. Durable when it returns. Raises StorageError."""
        await self._queue.put(sid, head, self._clock())
        self._changed.set()

    @asynccontextmanager
    async def running(self, export: Export) -> AsyncIterator[None]:
        """Save while the block lasts. `export` gives a conversation's trajectory; None for one that is not to be
        saved."""
        task = asyncio.create_task(self._run(export), name="trajectories")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self, export: Export) -> None:
        while True:
            self._changed.clear()
            try:
                pending = await self._queue.pending(AT_ONCE)
                now = self._clock()
                due = [upload for upload in pending if upload.at <= now]
                if due:
                    await asyncio.gather(*(self._save(upload, export) for upload in due))
                else:
                    await self._wait(min((upload.at for upload in pending), default=None))
            except StorageUnavailable:
                await self._store.until_it_works()
                await asyncio.sleep(PAUSE)  # it works for writers, perhaps

    async def _wait(self, moment: datetime | None) -> None:
        seconds = LONGEST if moment is None else min(LONGEST, moment - self._clock())
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds.total_seconds())):
                await self._changed.wait()

    async def _save(self, upload: PendingUpload, export: Export) -> None:
        """Raises StorageUnavailable where the queue cannot be written."""
        sid = upload.conversation
        try:
            async with asyncio.timeout(LIMIT):
                content = await export(sid)
                if content is not None:
                    await self._archive.save(f"{folder_name(sid)}.json", content)
        except (SessionsError, TimeoutError) as error:
            self._counts.trajectories["failed"] += 1
            wait = min(LONGEST, FIRST * 4 ** min(upload.tries, 10))
            problem = error.message if isinstance(error, SessionsError) else "it took too long"
            log.warning(
                "a trajectory was not saved; it is tried again",
                conversation_id=sid,
                problem=problem,
                tries=upload.tries + 1,
                seconds=wait.total_seconds(),
            )
            await self._queue.postpone(upload, self._clock() + wait)
            return
        if content is not None:
            self._counts.trajectories["saved"] += 1
            log.info("a trajectory was saved", conversation_id=sid, head=upload.head)
        await self._queue.done(upload)
