"""Where trajectories are saved, of every kind: a folder, and fsspec's systems of files and of objects."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from openhands_sessions.adapters.archives.folder import FolderArchive
from openhands_sessions.adapters.archives.hugging_face import PrivateDataset
from openhands_sessions.adapters.archives.remote import RemoteArchive
from openhands_sessions.core.errors import BadInput, StorageUnavailable
from openhands_sessions.ports.trajectories import TrajectoryArchive
from tests.support import dataset_hub, object_store
from tests.support.dataset_hub import DatasetHub
from tests.support.object_store import ObjectStore

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


def saving_to_dataset(hub: DatasetHub, scratch: Path) -> RemoteArchive:
    address, options = "hf://datasets/ada/talks/ours", {"endpoint": hub.url, "token": dataset_hub.TOKEN}
    return RemoteArchive(address, options, scratch, PrivateDataset(address, options))


def saving_to_bucket(store: ObjectStore, scratch: Path, bucket: str = "talks") -> RemoteArchive:
    """Its library does not go with the locked botocore: the tests need an environment of their own, see operate.md."""
    keys = {"key": object_store.KEY, "secret": "secret-of-the-bucket"}
    return RemoteArchive(f"s3://{bucket}/ours", {**keys, "endpoint_url": store.url}, scratch)


@pytest.fixture(params=["folder", "file", "memory", "dataset", "bucket"])
async def archive(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[TrajectoryArchive, Read]]:
    """One of each kind, and what it holds."""
    place = tmp_path / "new" / "archive"

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in place.iterdir()} if place.exists() else {}

    def objects() -> dict[str, bytes]:
        system = fsspec.filesystem("memory")
        return {Path(name).name: system.cat_file(name) for name in system.find(str(place))}

    match request.param:
        case "folder":
            yield FolderArchive(place), files
        case "file":
            yield RemoteArchive(f"file://{place}", {}, tmp_path), files
        case "memory":
            yield RemoteArchive(f"memory://{place}/", {}, tmp_path), objects
        case "dataset":
            async with dataset_hub.dataset_hub() as hub:
                yield saving_to_dataset(hub, tmp_path), lambda: named(hub.datasets["ada/talks"].files)
        case _:
            pytest.importorskip("s3fs")
            async with object_store.object_store("talks") as store:
                yield saving_to_bucket(store, tmp_path), lambda: named(store.objects)


def named(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without the folder that the archive is told to save to."""
    return {name.removeprefix("ours/"): content for name, content in files.items()}


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


async def test_a_dataset_is_made_private_once_and_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    async with dataset_hub.dataset_hub() as hub:
        archive = saving_to_dataset(hub, tmp_path)
        for name in ("a.json", "b.json"):
            await archive.save(name, pieces(b"text"))
        assert (hub.datasets["ada/talks"].private, hub.creations) == (True, 1)
        hub.datasets["ada/talks"].private = False
        await saving_to_dataset(hub, tmp_path).save("c.json", pieces(b"text"))
        assert (hub.datasets["ada/talks"].private, hub.creations) == (False, 2)


async def test_a_dataset_that_is_deleted_meanwhile_is_made_again_by_the_next_try(tmp_path: Path) -> None:
    async with dataset_hub.dataset_hub() as hub:
        archive = saving_to_dataset(hub, tmp_path)
        await archive.save("a.json", pieces(b"text"))
        hub.datasets.clear()
        with pytest.raises(StorageUnavailable):
            await archive.save("a.json", pieces(b"text"))
        await archive.save("a.json", pieces(b"text"))
        assert hub.datasets["ada/talks"].private


async def test_a_dataset_that_refuses_says_so_with_its_status_and_without_its_words_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with dataset_hub.dataset_hub() as hub:
        hub.refusals = 1
        archive = saving_to_dataset(hub, tmp_path)
        with pytest.raises(StorageUnavailable, match=r"refuses: \w+, HTTP status 403$"):
            await archive.save("a.json", pieces(b"text"))
        await archive.save("a.json", pieces(b"text"))
        assert hub.datasets["ada/talks"].files == {"ours/a.json": b"text"}
        assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("address", ["hf://datasets/", "hf://datasets/ada", "hf://datasets//talks", "hf://ada/talks"])
def test_an_address_of_no_dataset_is_refused_at_once(address: str) -> None:
    with pytest.raises(BadInput, match="must be hf://datasets/owner/name"):
        PrivateDataset(address, {})


async def test_a_bucket_that_refuses_or_is_not_there_says_so_and_none_is_made(tmp_path: Path) -> None:
    pytest.importorskip("s3fs")
    async with object_store.object_store("talks") as store:
        store.refusals = 1
        archive = saving_to_bucket(store, tmp_path)
        with pytest.raises(StorageUnavailable, match=r"refuses: PermissionError$"):
            await archive.save("a.json", pieces(b"text"))
        await archive.save("a.json", pieces(b"text"))
        assert store.objects == {"ours/a.json": b"text"}
        with pytest.raises(StorageUnavailable, match=r"refuses: FileNotFoundError$"):
            await saving_to_bucket(store, tmp_path, "tolks").save("a.json", pieces(b"text"))


def test_a_kind_without_its_library_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"trajectories\.save_to needs a library"):
        RemoteArchive("nosuchkind://bucket", {}, tmp_path)
