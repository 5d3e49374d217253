"""What every kind of FileStore keeps. A new kind is one more parameter; the fake is held to it too."""

import asyncio
from pathlib import Path

import pytest

from openhands_sessions.adapters.files.local import LocalFiles
from openhands_sessions.adapters.files.sealed import SealedFiles
from openhands_sessions.core.errors import NotFound, PathRefused
from openhands_sessions.ports.files import FileStore
from tests.fakes.files import MemoryFiles

GOOD_KEYS = ["a", "settings.json", "users/3f2a/settings.json", "A-1_b.C", "a/b/c/d/e/f/g/h", "x" * 128, "_", "-"]
BAD_KEYS = [
    *("", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/../b", ".hidden", "a/.b", "a b", "a\0", "a\n"),
    *("ä", "a\\b", "~", "x" * 129, "a/b/c/d/e/f/g/h/i", "C:/a", "a\ud800"),
]


@pytest.fixture(params=["fake", "local", "sealed"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    kinds: dict[str, FileStore] = {
        "fake": MemoryFiles(),
        "local": LocalFiles(tmp_path / "files"),
        "sealed": SealedFiles(MemoryFiles(), "a key of enough characters"),
    }
    return kinds[request.param]


@pytest.mark.parametrize("key", GOOD_KEYS)
async def test_what_was_written_is_read_back(files: FileStore, key: str) -> None:
    await files.write(key, b"\0 any bytes \xff")
    assert await files.read(key) == b"\0 any bytes \xff"
    assert await files.list() == [key]
    assert await files.delete(key) is True
    assert await files.list() == []


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_what_is_no_key_is_refused(files: FileStore, key: str) -> None:
    with pytest.raises(PathRefused):
        await files.read(key)
    with pytest.raises(PathRefused):
        await files.write(key, b"")
    with pytest.raises(PathRefused):
        await files.delete(key)
    with pytest.raises(PathRefused):
        await pieces(files, key)
    if key:
        with pytest.raises(PathRefused):
            await files.list(key)


async def test_an_unknown_file_is_not_found(files: FileStore) -> None:
    await files.write("folder/file", b"")
    for key in ("nothing", "folder/nothing", "nothing/nothing", "folder", "folder/file/below"):
        with pytest.raises(NotFound):
            await files.read(key)
        with pytest.raises(NotFound):
            await pieces(files, key)


async def test_writing_again_replaces(files: FileStore) -> None:
    await files.write("a/b", b"a long old text")
    await files.write("a/b", b"new")
    assert await files.read("a/b") == b"new"


async def test_a_reader_sees_one_version_whole(files: FileStore) -> None:
    old, new = b"o" * 600_000, b"n" * 900_000
    await files.write("a", old)
    reading = files.stream("a")
    first = await anext(reading)
    await files.write("a", new)
    assert first + b"".join([piece async for piece in reading]) == old
    assert await files.read("a") == new


async def test_of_many_writers_one_wins_whole(files: FileStore) -> None:
    versions = [bytes([n]) * 100_000 for n in range(12)]
    await asyncio.gather(*(files.write("folder/a", version) for version in versions))
    assert await files.read("folder/a") in versions
    assert await files.list() == ["folder/a"]


async def test_a_file_comes_in_bounded_pieces(files: FileStore) -> None:
    content = bytes(range(256)) * 4096
    await files.write("a", content)
    found = await pieces(files, "a")
    assert b"".join(found) == content
    assert max(len(piece) for piece in found) <= 256 * 1024
    await files.write("empty", b"")
    assert await pieces(files, "empty") == []


async def test_keys_are_listed_by_folder_and_sorted(files: FileStore) -> None:
    for key in ("b/z", "b/a/2", "b/a/1", "bb", "c", "b.txt"):
        await files.write(key, b"")
    assert await files.list() == ["b.txt", "b/a/1", "b/a/2", "b/z", "bb", "c"]
    assert await files.list("b") == ["b/a/1", "b/a/2", "b/z"]
    assert await files.list("b/a") == ["b/a/1", "b/a/2"]
    assert await files.list("c") == []
    assert await files.list("unknown/folder") == []


async def test_a_folder_goes_with_all_in_it(files: FileStore) -> None:
    for key in ("a/1", "a/b/2", "ab"):
        await files.write(key, b"")
    assert await files.delete("a") is True
    assert await files.list() == ["ab"]
    assert await files.delete("a") is False
    assert await files.delete("ab/below") is False
    await files.write("a", b"now a file")
    assert await files.read("a") == b"now a file"


async def test_a_file_and_a_folder_do_not_share_a_key(files: FileStore) -> None:
    await files.write("folder/a", b"1")
    with pytest.raises(PathRefused):
        await files.write("folder", b"2")
    with pytest.raises(PathRefused):
        await files.write("folder/a/below", b"3")
    assert await files.list() == ["folder/a"]


async def pieces(files: FileStore, key: str) -> list[bytes]:
    return [piece async for piece in files.stream(key)]
