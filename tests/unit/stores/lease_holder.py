"""A process that claims TALK and appends one event for each line of its standard input, saying how that went.

python -m tests.unit.stores.lease_holder DATABASE TTL [--child]     with a program that it starts and that outlives it
"""

import asyncio
import sys
from asyncio.subprocess import DEVNULL
from pathlib import Path

from openhands_sessions.adapters.stores.leases import Holder
from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.errors import SessionsError
from tests.support.store_entries import TALK, entries


async def hold(path: Path, ttl: float, *, child: bool) -> None:
    async with open_sqlite(path, Holder(node="elsewhere", ttl=ttl)) as store:
        term = await store.claim(TALK)
        outliving = None
        if child:
            process = await asyncio.create_subprocess_exec(
                *("sleep", "600"), stdin=DEVNULL, stdout=DEVNULL, start_new_session=True, close_fds=False
            )
            outliving = process.pid
        print(term, outliving, flush=True)
        log = store.log(TALK)
        while await asyncio.to_thread(sys.stdin.readline):
            head = await log.head()
            try:
                await log.append(entries(head + 1, head + 2), expected=head, term=term)
            except SessionsError as error:
                print(type(error).__name__, flush=True)
            else:
                print("stored", flush=True)


if __name__ == "__main__":
    asyncio.run(hold(Path(sys.argv[1]), float(sys.argv[2]), child="--child" in sys.argv))
