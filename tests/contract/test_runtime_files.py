"""What every kind of Runtime keeps: edits and files."""

import pytest

from openhands_sessions.core.errors import FileProblem, PathRefused
from openhands_sessions.ports.runtime import EditFile, Runtime
from tests.support.sandboxes import edit, key

OUTSIDE = ["../a", "a/../../b", "/etc/passwd", "/workspace/../a", "/workspacea", "/", "a\0b", "x" * 300]


async def test_an_edit_tells_what_it_changed(runtime: Runtime) -> None:
    done = await edit(runtime, 0, EditFile(command="create", path="/workspace/a.txt", file_text="one\ntwo\n"))
    assert (done.ok, done.path, done.prev_exist) == (True, "/workspace/a.txt", False)
    assert (done.old_content, done.new_content) == (None, "one\ntwo\n")
    done = await edit(runtime, 1, EditFile(command="str_replace", path="a.txt", old_str="two", new_str="2"))
    assert (done.ok, done.path, done.prev_exist) == (True, "/workspace/a.txt", True)
    assert (done.old_content, done.new_content) == ("one\ntwo\n", "one\n2\n")
    assert done.diff
    await edit(runtime, 2, EditFile(command="insert", path="a.txt", new_str="half", insert_line=1))
    assert await runtime.files.read("a.txt") == b"one\nhalf\n2\n"


async def test_edits_are_taken_back_one_after_another(runtime: Runtime) -> None:
    await edit(runtime, 0, EditFile(command="create", path="a.txt", file_text="one"))
    await edit(runtime, 1, EditFile(command="str_replace", path="a.txt", old_str="one", new_str="two"))
    assert (await edit(runtime, 2, EditFile(command="undo_edit", path="a.txt"))).new_content == "one"
    assert await runtime.files.read("a.txt") == b"one"
    assert (await edit(runtime, 3, EditFile(command="undo_edit", path="a.txt"))).ok
    assert await runtime.files.list() == []
    assert not (await edit(runtime, 4, EditFile(command="undo_edit", path="a.txt"))).ok


async def test_files_and_folders_are_viewed(runtime: Runtime) -> None:
    await runtime.files.write("below/a.txt", b"one\ntwo\nthree\n")
    seen = await edit(runtime, 0, EditFile(command="view", path="below/a.txt"))
    assert "     1\tone\n     2\ttwo\n     3\tthree\n" in seen.content
    seen = await edit(runtime, 1, EditFile(command="view", path="below/a.txt", view_range=(2, 2)))
    assert "     2\ttwo\n" in seen.content
    assert "one" not in seen.content
    assert "/workspace/below/a.txt" in (await edit(runtime, 2, EditFile(command="view", path="/workspace"))).content


@pytest.mark.parametrize(
    "task",
    [
        EditFile(command="create", path="a.txt", file_text="over it"),
        EditFile(command="str_replace", path="a.txt", old_str="three", new_str="3"),
        EditFile(command="str_replace", path="a.txt", old_str="one", new_str="1"),
        EditFile(command="str_replace", path="b.txt", old_str="one", new_str="1"),
        EditFile(command="insert", path="a.txt", new_str="x", insert_line=9),
        EditFile(command="undo_edit", path="a.txt"),
        EditFile(command="create", path="../a.txt", file_text="x"),
        EditFile(command="view", path="/etc/passwd"),
    ],
    ids=lambda task: f"{task.command} {task.path}",
)
async def test_an_edit_that_cannot_be_done_says_why(runtime: Runtime, task: EditFile) -> None:
    await runtime.files.write("a.txt", b"one two one")
    done = await edit(runtime, 0, task)
    assert not done.ok
    assert done.content
    assert await runtime.files.read("a.txt") == b"one two one"


async def test_a_known_edit_is_not_done_again(runtime: Runtime) -> None:
    await runtime.files.write("a.txt", b"one")
    again = EditFile(command="insert", path="a.txt", new_str="more", insert_line=0)
    first = await edit(runtime, 0, again)
    assert await edit(runtime, 0, again) == first == await runtime.inquire(key(0))
    assert await runtime.files.read("a.txt") == b"more\none"


async def test_files_are_written_read_and_listed(runtime: Runtime) -> None:
    await runtime.files.write("below/deep/a.txt", b"\0 any bytes \xff")
    await runtime.files.write("/workspace/b.txt", b"old")
    await runtime.files.write("b.txt", b"new")
    assert await runtime.files.read("/workspace/below/deep/a.txt") == b"\0 any bytes \xff"
    assert await runtime.files.read("b.txt") == b"new"
    assert await runtime.files.list() == await runtime.files.list("/workspace") == ["b.txt", "below/"]
    assert await runtime.files.list("below") == ["deep/"]


async def test_what_is_no_file_or_too_large_is_told(runtime: Runtime) -> None:
    await runtime.files.write("below/a.txt", b"12345")
    for path in ("nothing", "below", "below/nothing", "nothing/below"):
        with pytest.raises(FileProblem):
            await runtime.files.read(path)
    for path in ("nothing", "nothing/below"):
        with pytest.raises(FileProblem):
            await runtime.files.list(path)
    with pytest.raises(FileProblem):
        await runtime.files.read("below/a.txt", limit=4)
    assert await runtime.files.read("below/a.txt", limit=5) == b"12345"


@pytest.mark.parametrize("path", OUTSIDE)
async def test_a_path_that_leaves_the_workspace_is_refused(runtime: Runtime, path: str) -> None:
    with pytest.raises(PathRefused):
        await runtime.files.read(path)
    with pytest.raises(PathRefused):
        await runtime.files.write(path, b"")
    with pytest.raises(PathRefused):
        await runtime.files.list(path)
    assert await runtime.files.list() == []
