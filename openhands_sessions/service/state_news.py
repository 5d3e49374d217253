"""Tells who watches a state that it may have changed."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from openhands_sessions.ports.foreign_writes import ForeignWrites
from openhands_sessions.ports.state import StateScope


class StateNews:
    """Of one store. `foreign` tells of the writes of other processes, and of moves of histories; where it is None,
    only changes that this process has made are told."""

    def __init__(self, foreign: ForeignWrites | None) -> None:
        self._foreign = foreign
        self._watching: defaultdict[StateScope, set[asyncio.Event]] = defaultdict(set)

    def changed(self, scope: StateScope) -> None:
        """This process has changed the state."""
        for changed in self._watching.get(scope, ()):
            changed.set()

    @asynccontextmanager
    async def watch(self, scope: StateScope) -> AsyncIterator[AsyncIterator[None]]:
        """Gives a moment soon after each change, or several of them, that was durable after the block began; also some
        moments without one."""
        changed = asyncio.Event()
        self._watching[scope].add(changed)
        try:
            if self._foreign is None:
                yield _moments(changed)
                return
            async with self._foreign.watch() as writes:
                task = asyncio.create_task(_forward(writes, changed), name="writes to states")
                try:
                    yield _moments(changed)
                finally:
                    task.cancel()
                    await asyncio.wait([task])
        finally:
            self._watching[scope].discard(changed)
            if not self._watching[scope]:
                del self._watching[scope]


async def _forward(writes: AsyncIterator[None], changed: asyncio.Event) -> None:
    async for _ in writes:
        changed.set()


async def _moments(changed: asyncio.Event) -> AsyncIterator[None]:
    while True:
        await changed.wait()
        changed.clear()
        yield
