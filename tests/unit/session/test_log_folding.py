"""A long log is folded in its turn, with snapshots on the way, for as long as it gets on."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import Stored, stored
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.store import EventLog, Receipt, SessionStore
from openhands_sessions.session.log_folding import LONG, LONG_AT_ONCE, Folding, fold_turns, folded, saving
from openhands_sessions.session.progress_limit import ProgressLimit
from tests.fakes.store import HeldLog
from tests.support.session_harness import LONG as PATIENCE
from tests.support.session_harness import rest
from tests.support.store_entries import TALK

BATCH = 500


class SteppedLog(HeldLog):
    """An EventLog whose readings give a batch for each step that they are let take."""

    def __init__(self, log: EventLog, events: int) -> None:
        super().__init__(log)
        self.events = events
        self.reading = 0
        self.steps = asyncio.Semaphore(0)

    async def head(self) -> EventId:
        return EventId(self.events - 1)

    async def read(
        self, after: int = -1, *, before: int | None = None, reverse: bool = False, limit: int | None = None
    ) -> AsyncIterator[Sequence[Stored]]:
        self.reading += 1
        try:
            for first in range(after + 1, self.events, BATCH):
                await self.steps.acquire()
                yield entries(first, min(first + BATCH, self.events))
        finally:
            self.reading -= 1

    async def receipt(self, key: str) -> Receipt | None:
        return None


def entries(first: int, end: int) -> list[Stored]:
    return [stored(MessageAction(id=EventId(place), source=Source.USER, content="x")) for place in range(first, end)]


async def test_a_fold_that_is_cut_off_goes_on_from_its_last_snapshot(store: SessionStore, log: EventLog) -> None:
    long = SteppedLog(log, 12 * BATCH)
    folding = asyncio.create_task(folded(long, None, Folding(save=saving(store.snapshots, TALK))))
    for _ in range(9):
        long.steps.release()
    async with asyncio.timeout(PATIENCE):
        while (snapshot := await store.snapshots.load(TALK)) is None or snapshot.head < 8 * BATCH:
            await rest()
        folding.cancel()
        await asyncio.wait([folding])
        again = asyncio.create_task(folded(long, snapshot))
        for _ in range(4):
            long.steps.release()
        assert (await again).head == 12 * BATCH - 1


async def test_long_folds_take_turns_and_a_short_one_does_not_wait(log: EventLog) -> None:
    turns, long = fold_turns(), SteppedLog(log, LONG)
    waiting = [asyncio.create_task(folded(long, None, Folding(turns=turns))) for _ in range(5)]
    short = SteppedLog(log, LONG - 1)
    async with asyncio.timeout(PATIENCE):
        while long.reading < LONG_AT_ONCE:
            await rest()
        for _ in range(LONG // BATCH):
            short.steps.release()
        assert (await folded(short, None, Folding(turns=turns))).head == LONG - 2
        for _ in range(5 * LONG // BATCH):
            long.steps.release()
            await rest()
            assert long.reading <= LONG_AT_ONCE
        assert {view.head for view in await asyncio.gather(*waiting)} == {LONG - 1}


async def test_the_limit_of_a_fold_counts_from_its_last_progress_and_not_while_it_waits(log: EventLog) -> None:
    turns, long, limit = fold_turns(), SteppedLog(log, 4 * LONG), ProgressLimit()
    for _ in range(LONG_AT_ONCE):
        await turns.acquire()

    async def fold() -> int:
        async with limit.running(0.5):
            return (await folded(long, None, Folding(turns=turns, limit=limit))).head

    folding, begun = asyncio.create_task(fold()), asyncio.get_running_loop().time()
    await asyncio.sleep(0.6)  # time itself is what must not count
    turns.release()
    for _ in range(4 * LONG // BATCH):
        await asyncio.sleep(0.1)
        long.steps.release()
    async with asyncio.timeout(PATIENCE):
        assert await folding == 4 * LONG - 1
    assert asyncio.get_running_loop().time() - begun > 2


async def test_a_fold_that_does_not_get_on_is_given_up(log: EventLog) -> None:
    long, limit, told = SteppedLog(log, LONG), ProgressLimit(), list[int]()
    long.steps.release()
    with pytest.raises(TimeoutError):
        async with limit.running(0.1):
            await folded(long, None, Folding(limit=limit, tell=told.append))
    async with asyncio.timeout(PATIENCE):
        while long.reading:
            await rest()
    assert told == [LONG]
