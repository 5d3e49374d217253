"""Flipped bits and cut files: what is read is exactly what was acknowledged, or a typed error, and nothing else."""

import asyncio
import random
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from openhands_sessions.adapters.stores.sqlite import SqliteStore, open_sqlite
from openhands_sessions.core.errors import StorageError
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.store import Receipt, Snapshot
from tests.support.store_damage import read_all
from tests.support.store_entries import row

SIDS = [ConversationId(f"talk-{number}") for number in range(4)]
EVENTS = 30
PAGE, WAL_HEADER, FRAME = 4096, 32, 24
FLIPS = 12
"""Files of each run."""
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 25))]


@dataclass(frozen=True)
class Files:
    """A database as it lies on the disk, closed or as a kill leaves it."""

    database: Path
    log: Path


def text_of(sid: ConversationId, number: int) -> str:
    body = random.Random(f"{sid} {number}").randbytes((number * 37) % 5000 if number % 7 == 0 else 40).hex()
    return f'{{"id":{number},"of":"{sid}","said":"größer {body}"}}'


def written(sid: ConversationId) -> list[Stored]:
    return [
        Stored(EventId(number), f"action:{'run' if number % 3 else 'message'}", 1, text_of(sid, number))
        for number in range(EVENTS)
    ]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    return asyncio.run(made(tmp_path_factory.mktemp("sound")))


async def made(folder: Path) -> dict[str, Files]:
    path = folder / "sessions.db"
    async with open_sqlite(path) as store:
        for sid in SIDS:
            await store.conversations.create(row(sid))
            log = store.log(sid)
            for number, entry in enumerate(written(sid)):
                receipt = Receipt(key=f"key-{number}", digest="d", event=EventId(number)) if number % 5 == 0 else None
                await log.append([entry], expected=number - 1, term=0, receipt=receipt)
            await store.snapshots.save(sid, Snapshot(EventId(9), 1, f"view of {sid}"))
            await store.claim(sid)
        killed = Files(folder / "killed.db", folder / "killed.db-wal")
        shutil.copy(path, killed.database)
        shutil.copy(f"{path}-wal", killed.log)
    return {"closed": Files(path, folder / "none"), "killed": killed}


def page_header(size: int, chance: random.Random) -> int:
    return chance.randrange(size // PAGE) * PAGE + chance.randrange(108)


def keys_and_cells(size: int, chance: random.Random) -> int:
    return chance.randrange(size // PAGE) * PAGE + chance.randrange(8, 400)


def anywhere(size: int, chance: random.Random) -> int:
    return chance.randrange(size)


def log_header(size: int, chance: random.Random) -> int:
    return chance.randrange(WAL_HEADER)


def frame_header(size: int, chance: random.Random) -> int:
    frames = (size - WAL_HEADER) // (PAGE + FRAME)
    return WAL_HEADER + chance.randrange(frames) * (PAGE + FRAME) + chance.randrange(FRAME)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("where", [page_header, keys_and_cells, anywhere], ids=lambda where: where.__name__)
async def test_a_flipped_bit_of_the_database_is_an_error_or_harmless(
    sound: dict[str, Files], path: Path, where: Callable[[int, random.Random], int], seed: int
) -> None:
    chance = random.Random(f"{where.__name__} {seed}")
    for _ in range(FLIPS):
        place = put(path, sound["closed"], lambda content: flip(content, where, chance), log=False)
        assert await outcome(path) in ("exact", "error"), place


async def test_a_flipped_bit_of_a_text_costs_that_conversation_that_event(sound: dict[str, Files], path: Path) -> None:
    content = sound["closed"].database.read_bytes()
    for number in (0, 5, EVENTS - 1):
        at = 10 + content.find(text_of(SIDS[1], number).encode()[:50])
        put(path, sound["closed"], partial(flip_at, at), log=False)
        with capture_logs() as lines:
            async with open_sqlite(path) as store:
                assert store.problem is None
                for _ in range(2):
                    entries, damaged = await read_all(store.log(SIDS[1]))
                    assert (damaged, len(entries)) == ([(number, number)], EVENTS - 1)
                assert await read_all(store.log(SIDS[2])) == (written(SIDS[2]), [])
        assert [line["conversation_id"] for line in lines if line["log_level"] == "error"] == [SIDS[1]]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("where", [log_header, frame_header, anywhere], ids=lambda where: where.__name__)
async def test_a_flipped_bit_of_the_write_ahead_log_loses_nothing_in_silence(
    sound: dict[str, Files], path: Path, where: Callable[[int, random.Random], int], seed: int
) -> None:
    chance = random.Random(f"log {where.__name__} {seed}")
    size = sound["killed"].log.stat().st_size
    for _ in range(FLIPS):
        place = put(path, sound["killed"], lambda content: flip(content, where, chance), log=True)
        # The last page looks as one that a crash has torn.
        allowed = ("exact", "error", "prefix") if place >= size - PAGE - FRAME else ("exact", "error")
        assert await outcome(path) in allowed, place


@pytest.mark.parametrize("number", [0, 12, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 25) if n != 12)])
@pytest.mark.parametrize("log", [False, True], ids=["database", "write-ahead log"])
async def test_a_file_that_is_cut_off_is_an_error_or_ends_with_a_whole_commit(
    sound: dict[str, Files], path: Path, log: bool, number: int
) -> None:
    def cut(content: bytearray) -> int:
        place = random.Random(number).randrange(len(content)) if number else 0
        del content[place:]
        return place

    put(path, sound["killed" if log else "closed"], cut, log=log)
    assert await outcome(path) in (("exact", "prefix", "error") if log else ("error",))


def flip_at(place: int, content: bytearray) -> int:
    content[place] ^= 1
    return place


def flip(content: bytearray, where: Callable[[int, random.Random], int], chance: random.Random) -> int:
    place = where(len(content), chance)
    content[place] ^= 1 << chance.randrange(8)
    return place


def put(path: Path, files: Files, change: Callable[[bytearray], int], *, log: bool) -> int:
    """Lay the files down, one of them changed; where."""
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir()
    contents = {path: files.database.read_bytes()}
    if log:
        contents[path.with_name(f"{path.name}-wal")] = files.log.read_bytes()
    changed = list(contents)[-1]
    content = bytearray(contents[changed])
    place = change(content)
    for file, kept in {**contents, changed: bytes(content)}.items():
        file.write_bytes(kept)
    return place


async def outcome(path: Path) -> str:
    """`exact`, `prefix` where the end is missing without a word, or `error`. Fails for anything else."""
    with ExitStack() as stack:
        stack.enter_context(capture_logs())
        try:
            async with open_sqlite(path, begun=True) as store:
                await store.held()  # what recovery begins with: an error of ours at most
                return max([await told(store, sid) for sid in SIDS], key=["exact", "error", "prefix"].index)
        except StorageError:
            return "error"


async def told(store: SqliteStore, sid: ConversationId) -> str:
    """Of one conversation; what can be read of it is right."""
    try:
        found = await store.conversations.get(sid)
        entries, damaged = await read_all(store.log(sid))
        snapshot = await store.snapshots.load(sid)
        receipts = [await store.log(sid).receipt(f"key-{number}") for number in range(0, EVENTS, 5)]
        listed = await store.conversations.page(None, limit=10)  # without the rows that are damaged
    except StorageError:
        return "error"
    expected = written(sid)
    missing = {number for first, last in damaged for number in range(first, min(last, EVENTS) + 1)}
    assert found in (None, row(sid))
    assert all(each == row(each.id) for each in listed)
    assert all(entry == expected[entry.id] for entry in entries)
    assert snapshot in (None, Snapshot(EventId(9), 1, f"view of {sid}"))
    assert all(
        each in (None, Receipt(key=f"key-{5 * n}", digest="d", event=EventId(5 * n))) for n, each in enumerate(receipts)
    )
    if damaged:
        assert missing | {entry.id for entry in entries} >= set(range(EVENTS))
        return "error"
    whole = (found is not None, len(entries), snapshot is not None, None not in receipts, row(sid) in listed)
    return "exact" if whole == (True, EVENTS, True, True, True) else "prefix"
