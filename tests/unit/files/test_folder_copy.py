"""A copy of a folder that somebody else fills."""

import os
from pathlib import Path

import pytest

from openhands_sessions.adapters.folder_copy import DEEPEST, copy_folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def test_files_folders_links_modes_and_times_are_copied(source: Path, tmp_path: Path) -> None:
    (source / "below").mkdir()
    (source / "below" / "run.sh").write_bytes(b"x" * 100_000)
    (source / "below" / "run.sh").chmod(0o751)
    (source / "below").chmod(0o500)
    os.utime(source / "below" / "run.sh", ns=(1_000, 2_000))
    (source / "link").symlink_to("/etc/passwd")
    copied = copy_folder(source, tmp_path / "copy")
    found = tmp_path / "copy" / "below" / "run.sh"
    assert (found.read_bytes(), found.stat().st_mode & 0o777, found.stat().st_mtime_ns) == (
        b"x" * 100_000,
        0o751,
        2_000,
    )
    assert (tmp_path / "copy" / "below").stat().st_mode & 0o777 == 0o500
    assert (tmp_path / "copy" / "link").readlink() == Path("/etc/passwd")
    assert (copied.files, copied.size, copied.left_out) == (1, 100_000, [])


def test_what_is_to_be_left_out_and_what_holds_nothing_is_not_copied(source: Path, tmp_path: Path) -> None:
    (source / "below").mkdir()
    for name in ("kept", "left", "below/left"):
        (source / name).write_text(name)
    os.mkfifo(source / "pipe")
    copy_folder(source, tmp_path / "copy", lambda path: path == "left")
    found = sorted(str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*"))
    assert found == ["below", "below/left", "kept"]


def test_a_folder_that_is_replaced_by_a_link_is_a_link(source: Path, tmp_path: Path) -> None:
    """Commands of a sandbox may replace it at any moment of the copy."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("of the host")
    (source / "below").mkdir()

    def replace(path: str) -> bool:
        if path == "below":
            (source / "below").rmdir()
            (source / "below").symlink_to(tmp_path / "secret")
        return False

    copy_folder(source, tmp_path / "copy", replace)
    assert (tmp_path / "copy" / "below").is_symlink()


def test_a_folder_above_that_is_replaced_by_a_link_leads_nowhere_else(source: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("of the host")
    (source / "below").mkdir()
    (source / "below" / "key").write_text("own")

    def replace(path: str) -> bool:
        if path == "below/key":
            (source / "below").rename(source / "moved")
            (source / "below").symlink_to(tmp_path / "secret")
        return False

    copy_folder(source, tmp_path / "copy", replace)
    assert (tmp_path / "copy" / "below" / "key").read_text() == "own"


def test_a_tree_without_end_is_copied_to_a_depth(source: Path, tmp_path: Path) -> None:
    folder = source
    for _ in range(DEEPEST + 5):
        folder = folder / "d"
        folder.mkdir()
    copied = copy_folder(source, tmp_path / "copy")
    [(path, why)] = copied.left_out
    assert (path.count("d"), why) == (DEEPEST + 1, f"more than {DEEPEST} folders deep")


def test_nothing_is_copied_into_a_folder_that_is_there(source: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(FileExistsError):
        copy_folder(source, tmp_path / "copy")
