"""Where trajectories are saved, of every kind: a folder, and fsspec's systems of files and of objects."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from openhands_sessions.adapters.archives.folder import FolderArchive
from openhands_sessions.adapters.archives.remote import RemoteArchive
from openhands_sessions.core.errors import BadInput, StorageUnavailable
from openhands_sessions.ports.trajectories import TrajectoryArchive

Read = Callable[[], dict[str, bytes]]


class RefusingFileSystem(MemoryFileSystem):  # type: ignore[misc]  # of a library without types
    """Takes nothing, as a bucket of somebody else's."""

    protocol: ClassVar[str] = "refusing"

    def put_file(self, *given: Any, **options: Any) -> None:
        raise PermissionError(13, "the key sk-of-the-bucket may not write to /home/of/somebody")


async def pieces(*texts: bytes) -> AsyncIterator[bytes]:
    for text in texts:
        yield text


async def broken(*texts: bytes) -> AsyncIterator[bytes]:
    for text in texts:
        yield text
    raise StorageUnavailable("the log cannot be read")


@pytest.fixture(params=["folder", "file", "memory"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[TrajectoryArchive, Read]:
    """One of each kind, and what it holds."""
    place = tmp_path / "new" / "archive"

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in place.iterdir()} if place.exists() else {}

    def objects() -> dict[str, bytes]:
        system = fsspec.filesystem("memory")
        return {Path(name).name: system.cat_file(name) for name in system.find(str(place))}

    match request.param:
        case "folder":
            return FolderArchive(place), files
        case "file":
            return RemoteArchive(f"file://{place}", {}, tmp_path), files
        case _:
            return RemoteArchive(f"memory://{place}/", {}, tmp_path), objects


async def test_a_trajectory_is_saved_whole(archive: tuple[TrajectoryArchive, Read]) -> None:
    saving, read = archive
    await saving.save("a.json", pieces(b"one", b"", b"two" * 100_000))
    await saving.save("b.json", pieces())
    assert read() == {"a.json": b"one" + b"two" * 100_000, "b.json": b""}


async def test_one_of_the_same_name_takes_its_place(archive: tuple[TrajectoryArchive, Read]) -> None:
    saving, read = archive
    await saving.save("a.json", pieces(b"a longer one"))
    await saving.save("a.json", pieces(b"new"))
    assert read() == {"a.json": b"new"}


async def test_one_that_breaks_off_changes_nothing(archive: tuple[TrajectoryArchive, Read]) -> None:
    saving, read = archive
    await saving.save("a.json", pieces(b"old"))
    for name in ("a.json", "b.json"):
        with pytest.raises(StorageUnavailable, match="the log cannot be read"):
            await saving.save(name, broken(b"half of"))
    assert read() == {"a.json": b"old"}


async def test_what_a_folder_holds_is_its_owners_alone(tmp_path: Path) -> None:
    await FolderArchive(tmp_path / "archive").save("a.json", pieces(b"text"))
    assert (tmp_path / "archive").stat().st_mode & 0o077 == 0
    assert (tmp_path / "archive" / "a.json").stat().st_mode & 0o077 == 0


async def test_what_a_crash_has_left_in_a_folder_is_removed_but_not_what_is_being_written(tmp_path: Path) -> None:
    left, other = tmp_path / ".a.json.0123456789abcdef", tmp_path / ".profile"
    for path in (left, other):
        path.write_text("half of")
    begun, going_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"slow "
        begun.set()
        await going_on.wait()
        yield b"text"

    async with asyncio.TaskGroup() as group:
        saving = group.create_task(FolderArchive(tmp_path).save("b.json", slow()))
        await begun.wait()
        assert len([*tmp_path.glob(".b.json.*")]) == 1
        await FolderArchive(tmp_path).save("c.json", pieces(b"text"))
        assert not left.exists()
        going_on.set()
    assert saving.done()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".profile", "b.json", "c.json"]


async def test_a_folder_that_cannot_be_written_is_an_error_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageUnavailable) as refused:
        await FolderArchive(tmp_path / "file" / "archive").save("a.json", pieces(b"text"))
    assert str(tmp_path) not in refused.value.message


async def test_a_bucket_that_refuses_is_an_error_without_what_it_says(tmp_path: Path) -> None:
    fsspec.register_implementation("refusing", RefusingFileSystem, clobber=True)
    archive = RemoteArchive("refusing://bucket/folder", {"key": "sk-of-the-bucket"}, tmp_path)
    for _ in range(5):  # a place is given back each time
        with pytest.raises(StorageUnavailable) as refused:
            await archive.save("a.json", pieces(b"text"))
        assert refused.value.message == "the archive of trajectories refuses: PermissionError"
    assert [*tmp_path.iterdir()] == []


def test_a_kind_without_its_library_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"trajectories\.save_to needs a library"):
        RemoteArchive("nosuchkind://bucket", {}, tmp_path)
