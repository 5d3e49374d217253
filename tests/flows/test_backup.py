"""Backups of a data folder, and what they are refused for."""

import asyncio
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from openhands_sessions.bootstrap.application import open_application
from openhands_sessions.bootstrap.backup import back_up, restore
from openhands_sessions.config.config import Config, RuntimeSection, StoreSection
from openhands_sessions.core.errors import BadInput, SessionsError, StorageError
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, folder_name
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.ports.store import StoredCounts
from tests.support.command_line import CommandLine
from tests.support.in_process_server import read, turn_ends
from tests.support.running_server import Server

TALK = ConversationId("talk")
SECRET = "of-the-user-alone"


@contextmanager
def no_room(size: int) -> Iterator[None]:
    """A limit on file sizes stands in for a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def fill(config: Config, sid: ConversationId = TALK) -> list[str]:
    """A conversation with a file in its workspace, and a secret of the user; the conversation's events."""
    async with open_application(config) as house:
        await house.secrets.add(LOCAL_OWNER, "TOKEN", SECRET, "")
        spec = SessionSpec(id=sid, create=True, initial_message="hi")
        await house.local.gateway.open(spec)
        await read(house.local.gateway, sid, -1, turn_ends)
    workspace(config.data_dir / "runtimes", sid).joinpath("file.txt").write_text("kept\n")
    return await events(config, sid)


def workspace(runtimes: Path, sid: ConversationId = TALK) -> Path:
    return runtimes / folder_name(sid) / "workspace"


async def events(config: Config, sid: ConversationId = TALK) -> list[str]:
    async with open_application(config) as house:
        return [entry.text async for batch in house.store.log(sid).read() for entry in batch]


async def secrets(config: Config) -> list[str]:
    async with open_application(config) as house:
        return [name for name, _ in await house.secrets.names(LOCAL_OWNER)]


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_what_is_restored_is_what_was_backed_up(data_dir: Path, tmp_path: Path) -> None:
    config, other = Config(data_dir=data_dir), Config(data_dir=tmp_path / "other")
    kept = await fill(config)
    made = back_up(config, tmp_path / "backup")
    assert made.counts == StoredCounts(conversations=1, events=len(kept))
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700
    restored, aside = restore(other, tmp_path / "backup", replace=False)
    assert (restored.counts, aside) == (made.counts, [])
    assert workspace(other.data_dir / "runtimes").joinpath("file.txt").read_text() == "kept\n"
    assert await secrets(other) == ["TOKEN"]
    assert await events(other) == kept


async def test_database_and_workspaces_are_restored_to_where_the_configuration_has_them(
    data_dir: Path, tmp_path: Path
) -> None:
    elsewhere = Config(
        data_dir=tmp_path / "other",
        store=StoreSection(path=tmp_path / "fast" / "talks.db"),
        runtime=RuntimeSection(path=tmp_path / "large" / "spaces"),
    )
    kept = await fill(Config(data_dir=data_dir))
    back_up(Config(data_dir=data_dir), tmp_path / "backup")
    restore(elsewhere, tmp_path / "backup", replace=False)
    assert await events(elsewhere) == kept
    assert workspace(tmp_path / "large" / "spaces").joinpath("file.txt").exists()
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == ["files"]
    back_up(elsewhere, tmp_path / "again")
    assert {*everything(tmp_path / "again")} >= {*everything(tmp_path / "backup")}


async def test_existing_data_is_refused_and_moved_aside_where_that_is_wanted(data_dir: Path, tmp_path: Path) -> None:
    config, other = Config(data_dir=data_dir), Config(data_dir=tmp_path / "other")
    kept = await fill(config)
    back_up(config, tmp_path / "backup")
    own = await fill(other, ConversationId("own"))
    before = everything(other.data_dir)
    with pytest.raises(StorageError, match=r"there is data already: sessions.db, runtimes, files\. .*--replace"):
        restore(other, tmp_path / "backup", replace=False)
    assert everything(other.data_dir) == before
    _, aside = restore(other, tmp_path / "backup", replace=True)
    assert await events(other) == kept
    [old] = [path for path in aside if path.name.startswith("sessions.db")]
    assert await events(Config(data_dir=tmp_path / "third", store=StoreSection(path=old)), ConversationId("own")) == own
    made = back_up(other, tmp_path / "again")
    assert made.counts.conversations == 1
    assert not [name for name in everything(tmp_path / "again") if "replaced" in name]


async def test_a_full_disk_leaves_nothing_of_a_backup_or_a_restore(data_dir: Path, tmp_path: Path) -> None:
    config, other = Config(data_dir=data_dir), Config(data_dir=tmp_path / "other")
    await fill(config)
    workspace(data_dir / "runtimes").joinpath("large").write_bytes(b"x" * 3_000_000)
    before = everything(data_dir)
    for size in (8_192, 2_000_000):  # before the end of the database, and in a workspace
        with no_room(size), pytest.raises(SessionsError, match=r"cannot be (written|copied): .*Nothing of it is left"):
            back_up(config, tmp_path / "backup")
        assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == []
    assert everything(data_dir) == before
    back_up(config, tmp_path / "backup")
    for size in (8_192, 2_000_000):
        with no_room(size), pytest.raises(SessionsError, match=r"cannot be (written|copied): .*Nothing of it is left"):
            restore(other, tmp_path / "backup", replace=False)
        assert everything(other.data_dir) == {}
    restore(other, tmp_path / "backup", replace=False)


async def test_wrong_folders_are_refused(data_dir: Path, tmp_path: Path) -> None:
    config, other = Config(data_dir=data_dir), Config(data_dir=tmp_path / "other")
    await fill(config)
    (tmp_path / "there").mkdir()
    for folder, problem in ((tmp_path / "there", "exists already"), (data_dir / "backup", "is in the data folder")):
        with pytest.raises(BadInput, match=problem):
            back_up(config, folder)
    back_up(config, tmp_path / "backup")
    for folder in (tmp_path / "there", tmp_path / "missing", data_dir):
        with pytest.raises(BadInput, match="is no backup"):
            restore(other, folder, replace=False)
    with pytest.raises(BadInput, match="must be sqlite"):
        back_up(Config(data_dir=data_dir, store=StoreSection(kind="memory")), tmp_path / "memory")
    (tmp_path / "backup" / "backup.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(BadInput, match="newer version"):
        restore(other, tmp_path / "backup", replace=False)
    assert not other.data_dir.exists()


async def test_a_backup_that_was_damaged_is_not_restored(data_dir: Path, tmp_path: Path) -> None:
    config, other = Config(data_dir=data_dir), Config(data_dir=tmp_path / "other")
    await fill(config)
    back_up(config, tmp_path / "backup")
    os.truncate(tmp_path / "backup" / "sessions.db", 3 * 4096)
    with pytest.raises(StorageError, match=r"damaged|no sound database"):
        restore(other, tmp_path / "backup", replace=False)
    assert not other.data_dir.exists()


async def test_a_restore_over_a_living_server_or_an_open_folder_is_refused(server: Server, tmp_path: Path) -> None:
    shell = CommandLine(server.data_dir)
    made = await shell.run("backup", str(tmp_path / "backup"))
    assert (made.code, made.out.splitlines()[0]) == (
        0,
        f"{tmp_path / 'backup'} holds 0 conversations with 0 events, and 0 files (0.0 MB)",
    )
    refused = await shell.run("restore", str(tmp_path / "backup"), "--replace")
    assert (refused.code, "another server runs on this data folder" in refused.err) == (1, True)
    assert not [path for path in server.data_dir.iterdir() if "restor" in path.name or "replaced" in path.name]
    await server.stopped()
    config = Config(data_dir=server.data_dir)
    async with open_application(config) as house:  # as `chat` without a server does
        await house.local.gateway.open(SessionSpec(id=TALK, create=True, initial_message="hi"))
        await read(house.local.gateway, TALK, -1, turn_ends)
        with pytest.raises(StorageError, match="another program has the database open"):
            await asyncio.to_thread(restore, config, tmp_path / "backup", replace=True)
    done = await shell.run("restore", str(tmp_path / "backup"), "--replace")
    assert (done.code, done.err) == (0, "")
    assert "what was there is kept as" in done.out
