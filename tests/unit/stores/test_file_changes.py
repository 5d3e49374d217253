"""What is heard of the writes of other processes, by real files."""

import asyncio
import sys
from pathlib import Path

from openhands_sessions.adapters.stores.file_changes import FileChanges
from openhands_sessions.adapters.stores.sqlite import open_sqlite
from tests.support.store_entries import TALK, row

LONG = 60
WRITE = """
import asyncio, sys
from pathlib import Path
from openhands_sessions.adapters.stores.sqlite import open_sqlite
from tests.support.store_entries import OTHER, row

async def write():
    async with open_sqlite(Path(sys.argv[1])) as store:
        await store.conversations.create(row(OTHER))

asyncio.run(write())
"""


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def test_all_who_watch_hear_of_a_write_of_another_process(tmp_path: Path) -> None:
    database = tmp_path / "sessions.db"
    async with open_sqlite(database) as store:
        await store.conversations.create(row(TALK))
        changes = FileChanges(database)
        async with asyncio.timeout(LONG), changes.watch() as first, changes.watch() as second:
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITE, str(database))
            assert await process.wait() == 0
            await anext(first)
            await anext(second)


async def test_other_files_of_the_folder_make_no_moment(tmp_path: Path) -> None:
    database = tmp_path / "sessions.db"
    async with FileChanges(database).watch() as moments:
        (tmp_path / "another").write_text("x")
        moment = asyncio.ensure_future(anext(moments))
        (tmp_path / "another").write_text("y")
        for _ in range(20):
            await asyncio.sleep(0)
        assert not moment.done()
        database.write_text("z")
        async with asyncio.timeout(LONG):
            await moment


async def test_nothing_stays_open_when_the_last_has_left(tmp_path: Path) -> None:
    before = open_files()
    changes = FileChanges(tmp_path / "sessions.db")
    for _ in range(3):
        async with changes.watch():
            async with changes.watch():
                assert open_files() == before + 1
            assert open_files() == before + 1
    assert open_files() == before


async def test_a_folder_that_cannot_be_watched_makes_no_moment_and_no_error(tmp_path: Path) -> None:
    async with FileChanges(tmp_path / "gone" / "sessions.db").watch() as moments:
        moment = asyncio.ensure_future(anext(moments))
        await asyncio.sleep(0)
        assert not moment.done()
        moment.cancel()
