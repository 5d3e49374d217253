"""When trajectories are saved, and tried again."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from openhands_sessions.core.errors import StorageUnavailable
from openhands_sessions.core.ids import ConversationId, EventId, folder_name
from openhands_sessions.core.measurements import Measurements
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.service.trajectory_saving import FIRST, TrajectorySaver
from tests.fakes.memory_store import open_memory
from tests.support.store_entries import NOW, OTHER, TALK, row

PATIENCE = 10.0


class Archive:
    """Keeps what is saved; refuses as often as it is told; holds on while its gate is closed."""

    def __init__(self) -> None:
        self.saved: list[tuple[str, bytes]] = []
        self.refusals = 0
        self.tried = asyncio.Semaphore(0)
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = self.most = 0

    async def save(self, name: str, content: AsyncIterator[bytes]) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        text = b"".join([piece async for piece in content])
        self.tried.release()
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        if self.refusals:
            self.refusals -= 1
            raise StorageUnavailable("the bucket refuses")
        self.saved.append((name, text))


class Clock:
    """Stands until it is moved."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now


async def export(sid: ConversationId) -> AsyncIterator[bytes] | None:
    async def pieces() -> AsyncIterator[bytes]:
        yield sid.encode()

    return pieces()


async def refuse(sid: ConversationId) -> AsyncIterator[bytes] | None:
    return None


async def until_nothing_is_pending(store: SessionStore) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if not await store.uploads.pending(1):
                return
            await asyncio.sleep(0)


async def put_off(store: SessionStore, now: datetime) -> datetime:
    """When it is tried again, once that is known."""
    async with asyncio.timeout(PATIENCE):
        while True:
            [found] = await store.uploads.pending(1)
            if found.at > now:
                return found.at
            await asyncio.sleep(0)


async def test_each_is_saved_under_a_name_that_its_id_gives() -> None:
    archive, counts = Archive(), Measurements()
    async with open_memory() as store:
        for sid in (TALK, OTHER):
            await store.conversations.create(row(sid))
        saver = TrajectorySaver(store, archive, Clock(), counts)
        async with saver.running(export):
            await saver.owe(TALK, EventId(3))
            await saver.owe(OTHER, EventId(3))
            await until_nothing_is_pending(store)
    assert sorted(archive.saved) == sorted((f"{folder_name(sid)}.json", sid.encode()) for sid in (TALK, OTHER))
    assert counts.trajectories == {"saved": 2}


async def test_what_ends_while_it_is_saved_is_saved_again() -> None:
    archive = Archive()
    archive.gate.clear()
    async with open_memory() as store:
        await store.conversations.create(row(TALK))
        saver = TrajectorySaver(store, archive, Clock(), Measurements())
        async with saver.running(export):
            await saver.owe(TALK, EventId(3))
            await archive.tried.acquire()
            await saver.owe(TALK, EventId(7))
            archive.gate.set()
            await until_nothing_is_pending(store)
    assert len(archive.saved) == 2


async def test_one_that_fails_is_tried_again_later_and_later() -> None:
    archive, counts, clock = Archive(), Measurements(), Clock()
    archive.refusals = 2
    async with open_memory() as store:
        await store.conversations.create(row(TALK))
        saver = TrajectorySaver(store, archive, clock, counts)
        for wait in (FIRST, 4 * FIRST):
            async with saver.running(export):
                await saver.owe(TALK, EventId(3))
                await archive.tried.acquire()
                again = await put_off(store, clock.now)
            assert again == clock.now + wait
            clock.now = again
        async with saver.running(export):
            await until_nothing_is_pending(store)
    assert counts.trajectories == {"failed": 2, "saved": 1}


async def test_what_one_process_leaves_the_next_one_saves() -> None:
    archive = Archive()
    archive.gate.clear()
    async with open_memory() as store:
        await store.conversations.create(row(TALK))
        saver = TrajectorySaver(store, archive, Clock(), Measurements())
        async with saver.running(export):
            await saver.owe(TALK, EventId(3))
            await archive.tried.acquire()
        assert archive.saved == []
        archive.gate.set()
        async with TrajectorySaver(store, archive, Clock(), Measurements()).running(export):
            await until_nothing_is_pending(store)
    assert len(archive.saved) == 1


async def test_few_are_saved_at_once() -> None:
    archive = Archive()
    archive.gate.clear()
    async with open_memory() as store:
        saver = TrajectorySaver(store, archive, Clock(), Measurements())
        for number in range(9):
            await store.conversations.create(row(ConversationId(f"talk {number}")))
            await saver.owe(ConversationId(f"talk {number}"), EventId(3))
        async with saver.running(export):
            await archive.tried.acquire()
            await archive.tried.acquire()
            archive.gate.set()
            await until_nothing_is_pending(store)
    assert (archive.most, len(archive.saved)) == (2, 9)


async def test_one_whose_owner_wants_none_is_left_out() -> None:
    archive, counts = Archive(), Measurements()
    async with open_memory() as store:
        await store.conversations.create(row(TALK))
        saver = TrajectorySaver(store, archive, Clock(), counts)
        async with saver.running(refuse):
            await saver.owe(TALK, EventId(3))
            await until_nothing_is_pending(store)
    assert (archive.saved, counts.trajectories) == ([], {})


async def test_a_wait_is_never_longer_than_the_longest() -> None:
    archive, clock = Archive(), Clock()
    archive.refusals = 100
    async with open_memory() as store:
        await store.conversations.create(row(TALK))
        saver = TrajectorySaver(store, archive, clock, Measurements())
        waits = []
        await saver.owe(TALK, EventId(3))
        for _ in range(12):
            async with saver.running(export):
                await archive.tried.acquire()
                again = await put_off(store, clock.now)
            waits.append(again - clock.now)
            clock.now = again
    assert waits[-1] == max(waits) == timedelta(hours=1)
