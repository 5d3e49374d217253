"""A process that writes as fast as it can and says what was acknowledged, until it is killed or its disk is full.

python -m tests.unit.stores.loaded_writer DATABASE              one line `conversation head` per acknowledgement
python -m tests.unit.stores.loaded_writer DATABASE --full       fills a disk of its own making, frees it, goes on
"""

import asyncio
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from openhands_sessions.adapters.stores.sqlite import SqliteStore, open_sqlite
from openhands_sessions.core.errors import StorageUnavailable
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.store import Receipt
from tests.support.store_entries import OTHER, TALK, entries, ids, read, row

WRITERS = 20
SPACE = 2 * 1024 * 1024
LARGE = "x" * 50_000


async def write_on(store: SqliteStore, sid: ConversationId) -> None:
    log, head = store.log(sid), -1
    while True:
        count = 1 + (head + 1) % 3
        receipt = Receipt(key=f"key-{head + 1}", digest="d", event=EventId(head + 1))
        await log.append(entries(head + 1, head + 1 + count, sid), expected=head, term=1, receipt=receipt)
        head += count
        os.write(1, f"{sid} {head}\n".encode())


async def until_killed(path: Path) -> None:
    async with open_sqlite(path) as store:
        sids = [ConversationId(f"talk-{n}") for n in range(WRITERS)]
        for sid in sids:
            await store.conversations.create(row(sid))
            await store.claim(sid)
        await asyncio.gather(*(write_on(store, sid) for sid in sids))


async def until_full(path: Path) -> None:
    """A limit on file sizes stands in for a full disk: the write itself is refused by the kernel."""
    async with open_sqlite(path) as store:
        await store.conversations.create(row(TALK))
        await store.conversations.create(row(OTHER))
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (SPACE, hard))
        log, stored, refused = store.log(TALK), 0, None
        while refused is None:
            try:
                await log.append(large(stored, stored + 3), expected=stored - 1, term=0)
                stored += 3
            except StorageUnavailable as error:
                refused = error
        assert ids(await read(log)) == list(range(stored)), "all or nothing"
        others = await asyncio.gather(
            store.log(OTHER).append(large(0, 100), expected=-1, term=0),
            log.append(large(stored, stored + 100), expected=stored - 1, term=0),
            return_exceptions=True,
        )
        assert [type(other) for other in others] == [StorageUnavailable] * 2, others
        assert str(path.parent) not in str(refused)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await log.append(large(stored, stored + 3), expected=stored - 1, term=0)
        assert await log.head() == stored + 2
        print(f"stored {stored + 3}; refused: {refused}")


def large(start: int, stop: int) -> Sequence[Stored]:
    return [Stored(EventId(id), "action:message", 1, LARGE) for id in range(start, stop)]


if __name__ == "__main__":
    asyncio.run((until_full if "--full" in sys.argv else until_killed)(Path(sys.argv[1])))
