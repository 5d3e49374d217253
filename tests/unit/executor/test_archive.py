"""What goes into an archive of a folder, and what does not."""

import io
import os
import socket
import zipfile
from pathlib import Path

import pytest

from openhands_sessions.executor.archive import ArchiveLimits, zip_chunks
from openhands_sessions.executor.chunks import CHUNK_SIZE, ArchiveTooLarge
from openhands_sessions.executor.workspace import OutsidePath, UnfitFile, WorkspaceFolder

LIMITS = ArchiveLimits()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    return root


def opened(root: Path, path: str = "", limits: ArchiveLimits = LIMITS) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(zip_chunks(WorkspaceFolder(root), path, limits))))


def test_links_are_followed_to_files_inside_and_to_nothing_else(root: Path) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "file").write_text("inside")
    for name, target in {
        "to_file": "folder/file",
        "to_folder": "folder",
        "to_itself": "to_itself",
        "up": "..",
        "out": "../secret",
        "far": "/etc/passwd",
        "nowhere": "nothing",
        "round": ".",
    }.items():
        (root / name).symlink_to(target)
    with opened(root) as archive:
        assert sorted(archive.namelist()) == ["folder/", "folder/file", "to_file"]
        assert archive.read("to_file") == b"inside"


def test_what_is_no_file_is_left_out(root: Path) -> None:
    os.mkfifo(root / "pipe")
    here = socket.socket(socket.AF_UNIX)
    here.bind(str(root / "socket"))
    here.close()
    (root / "file").write_text("x")
    with opened(root) as archive:
        assert archive.namelist() == ["file"]


def test_names_times_and_modes_survive(root: Path) -> None:
    (root / "ümlaut").write_text("x")
    (root / "run.sh").write_text("x")
    (root / "run.sh").chmod(0o700)
    os.utime(root / "ümlaut", (0, 0))
    os.utime(root / "run.sh", (2**40, 2**40))
    for name in (b"broken\xff", b"broken\xfe"):
        Path(os.fsdecode(bytes(root) + b"/" + name)).write_text("x")
    (root / "empty").mkdir()
    with opened(root) as archive:
        assert archive.getinfo("ümlaut").date_time[0] == 1980
        assert archive.getinfo("run.sh").external_attr >> 16 & 0o777 == 0o755
        assert archive.getinfo("empty/").is_dir()
        assert {"broken�", "broken�_"} < set(archive.namelist())


def test_what_another_system_reads_as_a_path_or_a_device_is_changed_and_told(root: Path) -> None:
    changed = {
        "..\\x": ".._x",
        "C:\\Windows\\a.txt": "C__Windows_a.txt",
        "a.txt:stream": "a.txt_stream",
        "dot.": "dot_",
        "blank ": "blank_",
        "...": "___",
        "nul": "_nul",
        "Com1.txt": "_Com1.txt",
        "fold:er/aux.c": "fold_er/_aux.c",
    }
    for name in [*changed, "console", "com10", ".env", "a b.txt"]:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)
    with opened(root) as archive:
        assert archive.testzip() is None
        assert {*archive.namelist()} == {*changed.values(), "fold_er/", "console", "com10", ".env", "a b.txt"}
        for own, name in changed.items():
            assert (archive.read(name).decode(), archive.getinfo(name).comment.decode()) == (own, own)
        assert archive.getinfo("console").comment == b""
        assert archive.comment.startswith(b"10 names ")


def test_a_large_file_takes_little_memory(root: Path) -> None:
    (root / "zeros").write_bytes(b"")
    os.truncate(root / "zeros", 64 << 20)
    (root / "noise").write_bytes(os.urandom(3 << 20))
    largest = max(map(len, zip_chunks(WorkspaceFolder(root), "", LIMITS)))
    assert largest < 4 * CHUNK_SIZE


@pytest.mark.parametrize("limits", [ArchiveLimits(names=2), ArchiveLimits(size=2)])
def test_too_much_is_refused_before_the_first_piece(root: Path, limits: ArchiveLimits) -> None:
    for name in "abc":
        (root / name).write_text("x")
    with pytest.raises(ArchiveTooLarge):
        next(zip_chunks(WorkspaceFolder(root), "", limits))


def test_only_a_folder_inside_is_packed(root: Path) -> None:
    (root / "file").write_text("x")
    (root / "out").symlink_to("..")
    with pytest.raises(UnfitFile):
        opened(root, "file")
    with pytest.raises(OutsidePath):
        opened(root, "out")


def test_what_grows_meanwhile_is_told_apart_from_what_was_there(root: Path) -> None:
    (root / "log").write_bytes(os.urandom(CHUNK_SIZE * 3))
    packing = zip_chunks(WorkspaceFolder(root), "", LIMITS)
    first = next(packing)
    with (root / "log").open("ab") as log:
        log.write(b"more")
    with zipfile.ZipFile(io.BytesIO(first + b"".join(packing))) as archive:
        assert archive.getinfo("log").file_size == CHUNK_SIZE * 3
