"""No path leads out of a workspace, however links are laid or moved about."""

import itertools
import os
import threading
from pathlib import Path

import pytest

from openhands_sessions.executor.workspace import OutsidePath, UnfitFile, WorkspaceFolder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with a secret beside it."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "outside").mkdir()
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def workspace(root: Path) -> WorkspaceFolder:
    return WorkspaceFolder(root)


@pytest.mark.parametrize(
    "path",
    [
        *("../secret", "a/../../secret", "..", "/workspace/../secret", "/workspace/.."),
        *("/secret", "/", "//workspace", "/workspacea", "/etc/passwd", "a\0", "\ud800"),
        *("x" * 256, "x/" * 3000, "x/" * 201),
    ],
)
def test_a_path_that_leaves_is_refused(workspace: WorkspaceFolder, path: str) -> None:
    for attempt in (
        lambda: workspace.read(path, limit=9),
        lambda: workspace.write(path, b""),
        lambda: workspace.names(path),
    ):
        with pytest.raises(OutsidePath):
            attempt()


@pytest.mark.parametrize(
    "name", ["a", "/workspace/a", "./a", "a/", "/workspace//a", "below/.../a", "ä", "x" * 255, "\udcff"]
)
def test_a_path_inside_is_taken(workspace: WorkspaceFolder, name: str) -> None:
    workspace.write(name, b"content")
    assert workspace.read(name, limit=7) == b"content"


def test_the_real_path_of_the_workspace_names_it_too(workspace: WorkspaceFolder, root: Path) -> None:
    workspace.write(f"{root}/below/a", b"content")
    assert workspace.name_of(f"{root}/below/a") == "/workspace/below/a"
    assert workspace.named(str(root)) == "/workspace"
    assert workspace.named(f"{root}a") == f"{root}a"


@pytest.mark.parametrize(
    "target",
    [
        *("../secret", "../outside/new", "/etc/hostname", "below/../../secret", "{root}/../secret", "/"),
        *("/workspace/../secret", "{parent}/secret"),
    ],
)
def test_a_link_that_leads_out_is_refused(workspace: WorkspaceFolder, root: Path, target: str) -> None:
    (root / "below").mkdir()
    (root / "link").symlink_to(target.format(root=root, parent=root.parent))
    (root / "folder").symlink_to("../outside")
    for path in ("link", "folder/new"):
        with pytest.raises(OutsidePath):
            workspace.read(path, limit=9)
        with pytest.raises(OutsidePath):
            workspace.write(path, b"over it")
    assert (root.parent / "secret").read_text() == "secret"
    assert not list((root.parent / "outside").iterdir())


@pytest.mark.parametrize(
    "target", ["below/a", "./below//a", "below/../below/a", "/workspace/below/a", "{root}/below/a", "hop"]
)
def test_a_link_that_stays_inside_is_followed(workspace: WorkspaceFolder, root: Path, target: str) -> None:
    (root / "hop").symlink_to("below/a")
    (root / "link").symlink_to(target.format(root=root))
    (root / "below").mkdir()
    workspace.write("link", b"new")
    assert (root / "link").is_symlink()
    assert (root / "below" / "a").read_bytes() == workspace.read("link", limit=9) == b"new"


def test_links_in_a_ring_end(workspace: WorkspaceFolder, root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(UnfitFile):
        workspace.read("a", limit=9)


def test_a_link_that_is_moved_about_never_leads_out(workspace: WorkspaceFolder, root: Path) -> None:
    (root / "real").mkdir()
    (root / "real" / "secret").write_text("inside")
    (root / "there").symlink_to("real")
    done = threading.Event()

    def swap() -> None:
        for target in itertools.cycle(["..", "real", "../outside", "real"]):
            (root / "next").symlink_to(target)
            (root / "next").rename(root / "there")
            if done.is_set():
                return

    swapping = threading.Thread(target=swap)
    swapping.start()
    read, refused = set(), 0
    try:
        for _ in range(1500):
            try:
                read.add(workspace.read("there/secret", limit=99))
                workspace.write("there/secret", b"inside")
            except OutsidePath:
                refused += 1
    finally:
        done.set()
        swapping.join()
    assert read == {b"inside"}
    assert refused
    assert (root.parent / "secret").read_text() == "secret"
    assert not list((root.parent / "outside").iterdir())


def test_what_is_no_file_is_not_read(workspace: WorkspaceFolder, root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    for path in ("pipe", "folder", "nothing", "pipe/below"):
        with pytest.raises(UnfitFile):
            workspace.read(path, limit=9)
    for path in ("pipe", "folder", "/workspace", "pipe/below"):
        with pytest.raises(UnfitFile):
            workspace.write(path, b"")


def test_a_file_keeps_its_mode_when_it_is_written(workspace: WorkspaceFolder, root: Path) -> None:
    workspace.write("script", b"one")
    (root / "script").chmod(0o750)
    workspace.write("script", b"two")
    assert (root / "script").stat().st_mode & 0o7777 == 0o750
    assert [path.name for path in root.iterdir()] == ["script"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(workspace: WorkspaceFolder, root: Path) -> None:
    (root / "full").symlink_to("/dev/full")
    workspace.write("a", b"old")
    with pytest.raises(OutsidePath):
        workspace.write("full", b"x")
    with pytest.raises(UnfitFile):
        workspace.write("a/below", b"x")
    assert sorted(path.name for path in root.iterdir()) == ["a", "full"]
    assert workspace.read("a", limit=9) == b"old"


def test_a_folder_is_listed_by_name(workspace: WorkspaceFolder, root: Path) -> None:
    (root / "b").mkdir()
    (root / "a").write_text("")
    (root / "link").symlink_to("b")
    (root / ".hidden").write_text("")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff")).write_text("")
    assert workspace.names() == [".hidden", "a", "b/", "link", "�"]
    assert workspace.names("link") == []


def test_a_folder_with_too_many_names_is_not_listed(workspace: WorkspaceFolder) -> None:
    for name in ("a", "b", "c"):
        workspace.write(name, b"")
    assert workspace.names(limit=3) == ["a", "b", "c"]
    with pytest.raises(UnfitFile, match="more than 2"):
        workspace.names(limit=2)
