"""The local folder: who may read it, what a link in it leads to, and what a failed write leaves."""

import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from openhands_sessions.adapters.files.local import LocalFiles
from openhands_sessions.core.errors import PathRefused, StorageUnavailable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def files(root: Path) -> LocalFiles:
    return LocalFiles(root)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that nothing may reach."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    return folder


async def test_only_the_owner_reads_files_and_folders(root: Path, files: LocalFiles) -> None:
    await files.write("a/b", b"")
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (root, root / "a", root / "a" / "b")]
    assert modes == [0o700, 0o700, 0o600]


async def test_a_write_leaves_nothing_beside_the_file(root: Path, files: LocalFiles) -> None:
    await files.write("a/b", b"1")
    await files.write("a/b", b"2")
    await files.write("a/c/d", b"3")
    await files.delete("a/c")
    with pytest.raises(PathRefused):
        await files.write("a", b"4")
    assert sorted(each.relative_to(root).as_posix() for each in root.rglob("*")) == ["a", "a/b"]


async def test_a_link_to_a_folder_is_not_followed(root: Path, files: LocalFiles, outside: Path) -> None:
    await files.write("mine", b"")
    (root / "link").symlink_to(outside)
    with pytest.raises(PathRefused):
        await files.read("link/secret")
    with pytest.raises(PathRefused):
        await files.write("link/new", b"")
    with pytest.raises(PathRefused):
        await files.list("link")
    with pytest.raises(PathRefused):
        await files.delete("link/secret")
    assert await files.list() == ["mine"]
    assert [each.name for each in outside.iterdir()] == ["secret"]


async def test_a_link_to_a_file_is_not_followed(root: Path, files: LocalFiles, outside: Path) -> None:
    await files.write("mine", b"")
    (root / "link").symlink_to(outside / "secret")
    with pytest.raises(PathRefused):
        await files.read("link")
    assert await files.list() == ["mine"]
    await files.write("link", b"replaces the link, not what it leads to")
    assert (outside / "secret").read_text() == "secret"
    assert not (root / "link").is_symlink()


async def test_deleting_a_link_leaves_what_it_leads_to(root: Path, files: LocalFiles, outside: Path) -> None:
    await files.write("folder/mine", b"")
    (root / "folder" / "link").symlink_to(outside)
    assert await files.delete("folder") is True
    assert (outside / "secret").read_text() == "secret"


async def test_a_root_that_cannot_be_made_is_told_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((StorageUnavailable, PathRefused)) as refused:
        await LocalFiles(tmp_path / "file" / "root").write("a", b"")
    assert str(tmp_path) not in str(refused.value)


async def test_a_root_that_is_not_there_yet_holds_nothing(files: LocalFiles) -> None:
    assert await files.list() == []
    assert await files.delete("a") is False


async def test_a_disk_that_is_full_leaves_the_old_file(root: Path, files: LocalFiles) -> None:
    await files.write("a", b"old")
    with largest_file(50_000), pytest.raises(StorageUnavailable) as refused:
        await files.write("a", b"n" * 100_000)
    assert str(root) not in str(refused.value)
    assert await files.read("a") == b"old"
    assert [each.name for each in root.iterdir()] == ["a"]
    await files.write("a", b"n" * 100_000)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The kernel refuses to let a file of this process grow further: stands in for a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
