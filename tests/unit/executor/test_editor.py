"""The editor tool: what it does, and what it says where it does nothing."""

from pathlib import Path

import pytest

from openhands_sessions.executor.editor import CONTENT_LIMIT, FILE_LIMIT, VIEW_LIMIT, Edit, TextEditor
from openhands_sessions.executor.journal import Outcome
from openhands_sessions.executor.undo import UndoHistory
from openhands_sessions.executor.workspace import WorkspaceFolder

PATH = "/workspace/a.txt"


class Desk:
    """An editor, its folder, and a new editor in its place when the executor was started again."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        self._state = folder / "undo"
        self.restart()

    def restart(self) -> None:
        self.editor = TextEditor(WorkspaceFolder(self.root), UndoHistory(self._state))

    def does(self, command: str, path: str = PATH, **fields: object) -> Outcome:
        done = self.editor.apply(Edit(command, path, **fields))  # type: ignore[arg-type]  # fields as a request has them
        assert str(self.root) not in str(done)
        return done

    def refuses(self, command: str, path: str = PATH, **fields: object) -> str:
        done = self.does(command, path, **fields)
        assert done["ok"] is False
        assert (done["old_content"], done["new_content"], done["diff"]) == (None, None, None)
        return str(done["content"])

    @property
    def text(self) -> str:
        return (self.root / "a.txt").read_bytes().decode()

    @text.setter
    def text(self, text: str) -> None:
        (self.root / "a.txt").write_bytes(text.encode())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_created_file_is_told_with_its_diff(desk: Desk) -> None:
    done = desk.does("create", "edited.py", file_text="def f():\n    return 1\n")
    assert done["diff"] == (
        "--- /workspace/edited.py\n+++ /workspace/edited.py\n@@ -0,0 +1,2 @@\n+def f():\n+    return 1"
    )
    assert (done["path"], done["prev_exist"], done["old_content"]) == ("/workspace/edited.py", False, None)


def test_create_makes_the_folders_above_and_never_replaces(desk: Desk) -> None:
    assert desk.does("create", "x/y/z.txt", file_text="")["ok"]
    assert "exists already" in desk.refuses("create", "x/y/z.txt", file_text="new")
    assert "exists already" in desk.refuses("create", "x/y", file_text="new")
    assert (desk.root / "x/y/z.txt").read_text() == ""
    assert "needs file_text" in desk.refuses("create", "b.txt")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "needs old_str"),
        ({"old_str": ""}, "must not be empty"),
        ({"old_str": "one", "new_str": "one"}, "must differ"),
        ({"old_str": "three", "new_str": "3"}, "does not stand"),
        ({"old_str": "one", "new_str": "1"}, "2 times in /workspace/a.txt (lines 1, 3)"),
    ],
)
def test_a_replacement_needs_exactly_one_place(desk: Desk, fields: dict[str, str], says: str) -> None:
    desk.text = "one\ntwo\none\n"
    assert says in desk.refuses("str_replace", **fields)
    assert desk.text == "one\ntwo\none\n"


def test_a_replacement_shows_the_lines_around_it(desk: Desk) -> None:
    desk.text = "".join(f"line {number}\n" for number in range(1, 21))
    done = desk.does("str_replace", old_str="line 10\n", new_str="new 10\nnew 11\n")
    assert "     6\tline 6\n" in done["content"]
    assert "    10\tnew 10\n    11\tnew 11\n    12\tline 11\n" in done["content"]
    assert "line 5\n" not in done["content"]
    assert "line 16\n" not in done["content"]
    assert done["diff"].splitlines()[2] == "@@ -7,7 +7,8 @@"


def test_a_replacement_by_nothing_takes_away(desk: Desk) -> None:
    desk.text = "one\ntwo\n"
    assert desk.does("str_replace", old_str="two\n")["ok"]
    assert desk.text == "one\n"


@pytest.mark.parametrize(
    ("old", "line", "new"),
    [
        ("a\nb\n", 0, "x\na\nb\n"),
        ("a\nb\n", 1, "a\nx\nb\n"),
        ("a\nb\n", 2, "a\nb\nx\n"),
        ("a\nb", 2, "a\nb\nx\n"),
        ("a\nb", 1, "a\nx\nb"),
        ("", 0, "x\n"),
    ],
)
def test_text_is_inserted_after_a_line(desk: Desk, old: str, line: int, new: str) -> None:
    desk.text = old
    assert desk.does("insert", new_str="x", insert_line=line)["ok"]
    assert desk.text == new


@pytest.mark.parametrize("line", [-1, 3, None])
def test_an_insertion_outside_the_file_is_refused(desk: Desk, line: int | None) -> None:
    desk.text = "a\nb\n"
    assert "from 0 to 2" in desk.refuses("insert", new_str="x", insert_line=line)


MARK = "\ufeff"
CRLF = "one\r\ntwo\r\nthree\r\n"
MIXED = "one\r\ntwo\nthree\r\nfour"
INSERTED = {"command": "insert", "new_str": "x\ny"}
REPLACED = {"command": "str_replace", "old_str": "one\ntwo", "new_str": "1\n2\n2b"}


@pytest.mark.parametrize(
    ("old", "edit", "new"),
    [
        (CRLF, {**INSERTED, "insert_line": 3}, "one\r\ntwo\r\nthree\r\nx\r\ny\r\n"),
        (CRLF, {**INSERTED, "insert_line": 0, "new_str": "x\r\ny\r\n"}, "x\r\ny\r\none\r\ntwo\r\nthree\r\n"),
        (CRLF, REPLACED, "1\r\n2\r\n2b\r\nthree\r\n"),
        (CRLF, {**REPLACED, "old_str": "ne\r\ntwo\r\n", "new_str": "\n"}, "o\r\nthree\r\n"),
        ("a\r\nb", {**INSERTED, "insert_line": 2}, "a\r\nb\r\nx\r\ny\r\n"),
        ("a\nb", {**INSERTED, "insert_line": 1, "new_str": "x\r\ny"}, "a\nx\ny\nb"),
        ("one\rtwo\rthree", {**INSERTED, "insert_line": 1}, "one\rx\ry\rtwo\rthree"),
        ("one\rtwo\rthree", REPLACED, "1\r2\r2b\rthree"),
        (MIXED, {**INSERTED, "insert_line": 2}, "one\r\ntwo\nx\r\ny\r\nthree\r\nfour"),
        (MIXED, {**REPLACED, "old_str": "two\nthree\n", "new_str": "2\n3\n"}, "one\r\n2\n3\r\nfour"),
        ("50%\r100%\ndone\n", {**REPLACED, "old_str": "50%\r", "new_str": "0%\r50%\r"}, "0%\r50%\r100%\ndone\n"),
        (MARK + "one\n", {**INSERTED, "insert_line": 0}, MARK + "x\ny\none\n"),
        (MARK + "one", {**INSERTED, "insert_line": 1}, MARK + "one\nx\ny\n"),
        (MARK, {**INSERTED, "insert_line": 0}, MARK + "x\ny\n"),
        (MARK + CRLF, REPLACED, MARK + "1\r\n2\r\n2b\r\nthree\r\n"),
        (MARK + CRLF, {**REPLACED, "old_str": MARK + "one\n", "new_str": MARK + "1\n"}, MARK + "1" + CRLF[3:]),
        ("one", {**REPLACED, "old_str": "one", "new_str": "1\r\n2"}, "1\r\n2"),
    ],
)
def test_an_edit_keeps_the_byte_order_mark_and_the_line_ends(
    desk: Desk, old: str, edit: dict[str, object], new: str
) -> None:
    desk.text = old
    done = desk.does(**edit)  # type: ignore[arg-type]  # a command and its fields
    assert done["ok"], done
    assert desk.text == new
    assert MARK not in str(done)
    assert desk.does("undo_edit")["ok"]
    assert desk.text == old


def test_a_created_file_has_the_line_ends_it_is_given(desk: Desk) -> None:
    for text in (CRLF, MIXED, "a\rb", MARK + "a\n", ""):
        assert desk.does("create", file_text=text)["ok"]
        assert desk.text == text
        (desk.root / "a.txt").unlink()


@pytest.mark.parametrize(
    ("content", "note", "lines"),
    [
        (b"a\r\nb\r\n", "with line ends CRLF", ["a", "b"]),
        (b"a\r\nb\nc", "with line ends LF and CRLF", ["a", "b", "c"]),
        (b"a\rb", "with line ends CR", ["a", "b"]),
        ("äö\nb".encode("utf-8-sig"), "in UTF-8 with a byte order mark", ["äö", "b"]),
        ("äö\nb".encode("utf-16"), "in UTF-16-LE with a byte order mark", ["äö", "b"]),
        (b"\xfe\xff" + "日本\r\nb".encode("utf-16-be"), "in UTF-16-BE with a byte order mark", ["日本", "b"]),
        ("a\nb".encode("utf-32"), "in UTF-32-LE with a byte order mark", ["a", "b"]),
        ("one\ntwo".encode("utf-16-le"), "in UTF-16-LE", ["one", "two"]),
        ("one\ntwo".encode("utf-16-be"), "in UTF-16-BE", ["one", "two"]),
        (b"caf\xe9\nb", "read as Latin-1", ["café", "b"]),
        (b"\x93q\x94\n", "read as Latin-1", ["“q”"]),
        (b"\x81\xff\n", "read as Latin-1", ["\x81ÿ"]),
    ],
)
def test_a_view_shows_lines_only_and_says_how_they_are_encoded(
    desk: Desk, content: bytes, note: str, lines: list[str]
) -> None:
    (desk.root / "a.txt").write_bytes(content)
    title, *shown = desk.does("view")["content"].removesuffix("\n").split("\n")
    assert note in title
    assert shown == [f"{number:6}\t{line}" for number, line in enumerate(lines, 1)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1251"])
def test_a_file_in_another_encoding_stays_as_it_is(desk: Desk, encoding: str) -> None:
    content = ("я = 1\n" if encoding == "cp1251" else "ä = 1\n").encode(encoding)
    (desk.root / "a.txt").write_bytes(content)
    for edit in (REPLACED, {**REPLACED, "old_str": "1"}, {**INSERTED, "insert_line": 1}):
        assert "convert it first" in desk.refuses(**edit)
    assert "exists already" in desk.refuses("create", file_text="x")
    assert (desk.root / "a.txt").read_bytes() == content


def test_edits_are_taken_back_after_a_restart_too(desk: Desk) -> None:
    desk.does("create", file_text="1")
    desk.does("str_replace", old_str="1", new_str="2")
    desk.does("create", "b.txt", file_text="other")
    desk.does("str_replace", old_str="2", new_str="3")
    desk.restart()
    assert desk.does("undo_edit")["new_content"] == "2"
    desk.restart()
    assert desk.does("undo_edit")["new_content"] == "1"
    assert desk.does("undo_edit")["new_content"] is None
    assert not (desk.root / "a.txt").exists()
    assert "no edit" in desk.refuses("undo_edit")
    assert (desk.root / "b.txt").read_text() == "other"


def test_a_refused_edit_leaves_nothing_to_take_back(desk: Desk) -> None:
    desk.text = "one"
    desk.refuses("str_replace", old_str="two", new_str="three")
    desk.refuses("create", file_text="x")
    assert "no edit" in desk.refuses("undo_edit")


@pytest.mark.parametrize(
    ("view_range", "shown"),
    [(None, [1, 2, 3]), ((1, 3), [1, 2, 3]), ((2, -1), [2, 3]), ((3, 3), [3]), ((2, 99), [2, 3])],
)
def test_a_view_numbers_the_lines(desk: Desk, view_range: tuple[int, int] | None, shown: list[int]) -> None:
    desk.text = "a1\na2\na3\n"
    content = desk.does("view", view_range=view_range)["content"]
    assert content.endswith(":\n" + "".join(f"     {number}\ta{number}\n" for number in shown))


@pytest.mark.parametrize("view_range", [(0, 1), (4, 4), (3, 2), (1, -2)])
def test_a_view_outside_the_file_is_refused(desk: Desk, view_range: tuple[int, int]) -> None:
    desk.text = "a1\na2\na3\n"
    assert "has 3 lines" in desk.refuses("view", view_range=view_range)


def test_a_long_view_is_cut_and_says_so(desk: Desk) -> None:
    desk.text = "x" * 50 + "\n"
    desk.text *= VIEW_LIMIT // 50
    content = desk.does("view")["content"]
    assert len(content) < VIEW_LIMIT + 300
    assert "use view_range" in content


def test_a_folder_is_viewed_two_levels_deep(desk: Desk) -> None:
    for path in ("a.txt", "below/b.txt", "below/deep/c.txt", ".hidden/d.txt", "below/.hidden"):
        (desk.root / path).parent.mkdir(parents=True, exist_ok=True)
        (desk.root / path).touch()
    for path in ("/workspace", "", "."):
        lines = desk.does("view", path)["content"].splitlines()[1:]
        assert lines == [
            "/workspace/",
            "/workspace/a.txt",
            "/workspace/below/",
            "/workspace/below/b.txt",
            "/workspace/below/deep/",
        ]
    assert "leave it out" in desk.refuses("view", "below", view_range=(1, 2))


def test_a_large_file_is_told_without_its_content(desk: Desk) -> None:
    desk.text = "x" * CONTENT_LIMIT + "\nend\n"
    done = desk.does("str_replace", old_str="end", new_str="END")
    assert (done["ok"], done["old_content"], done["new_content"], done["diff"]) == (True, None, None, None)
    assert "larger than" in desk.refuses("create", "b.txt", file_text="x" * (FILE_LIMIT + 1))
    desk.text = "x" * (FILE_LIMIT + 1)
    assert "larger than" in desk.refuses("view")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("../a.txt", "'..'"),
        ("/etc/passwd", "outside"),
        ("folder", "is a folder"),
        ("nothing.txt", "no file"),
        ("binary", "not a text"),
        ("latin", "not in UTF-8 but in Latin-1"),
        ("out", "leads out"),
    ],
)
def test_what_cannot_be_edited_is_told(desk: Desk, path: str, says: str) -> None:
    (desk.root / "folder").mkdir()
    (desk.root / "binary").write_bytes(b"\x89PNG\0\1")
    (desk.root / "latin").write_bytes(b"caf\xe9")
    (desk.root / "out").symlink_to("/etc/hostname")
    assert says in desk.refuses("str_replace", path, old_str="a", new_str="b")
    assert says in desk.refuses("insert", path, new_str="b", insert_line=0)


def test_an_unknown_command_is_told(desk: Desk) -> None:
    assert "view, create" in desk.refuses("delete")
