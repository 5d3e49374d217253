"""The editor tool: views, creates and changes text files; its refusals say what to do instead."""

from __future__ import annotations

import re
from typing import NamedTuple

from .diff import lines_of, unified
from .journal import Outcome
from .text_file import TextFile, UnknownEncoding
from .undo import UndoHistory
from .workspace import OutsidePath, UnfitFile, WorkspaceFolder

FILE_LIMIT = 4 << 20
CONTENT_LIMIT = 64 << 10
VIEW_LIMIT = 128 << 10
_FOLDER_ENTRIES = 1000
_SNIPPET = 4


class Edit(NamedTuple):
    """One requested operation."""

    command: str
    path: str
    file_text: str | None = None
    old_str: str | None = None
    new_str: str | None = None
    insert_line: int | None = None
    view_range: tuple[int, int] | None = None


class CannotEdit(Exception):
    """Nothing was changed; the message says why, and what to do."""


class TextEditor:
    """Edits the text files of a workspace and remembers what they held before."""

    def __init__(self, workspace: WorkspaceFolder, undo: UndoHistory) -> None:
        self._workspace = workspace
        self._undo = undo
        self._commands = {
            "view": self._view,
            "create": self._create,
            "str_replace": self._replace,
            "insert": self._insert,
            "undo_edit": self._take_back,
        }

    def apply(self, edit: Edit) -> Outcome:
        """Run it and return an outcome of kind `edit`."""
        command = self._commands.get(edit.command)
        try:
            if command is None:
                raise CannotEdit("There is no command `{}`; use {}.".format(edit.command, ", ".join(self._commands)))
            return command(edit, self._workspace.name_of(edit.path))
        except (CannotEdit, OutsidePath, UnfitFile) as error:
            return _outcome(False, str(error), edit.path)
        except OSError as error:
            return _outcome(False, f"The file could not be changed: {error.strerror}.", edit.path)

    def _view(self, edit: Edit, path: str) -> Outcome:
        with self._workspace.find(edit.path) as found:
            folder = found.is_folder
        if folder:
            if edit.view_range is not None:
                raise CannotEdit(f"{path} is a folder: view_range is for files, leave it out.")
            return _outcome(True, self._listing(path), path, prev_exist=True)
        _, file = self._decoded(path)
        lines = lines_of(file.text)
        first, last = _range(edit.view_range, len(lines))
        shown = _numbered(lines, first, last)
        if len(shown) > VIEW_LIMIT:
            shown = shown[:VIEW_LIMIT] + "\n[... cut here: the file is long, use view_range to see a part of it ...]"
        return _outcome(True, f"{path}, as `cat -n` shows it{_noted(file)}:\n{shown}\n", path, prev_exist=True)

    def _listing(self, path: str) -> str:
        found: list[str] = []
        for name in self._visible(path):
            found.append(f"{path}/{name}")
            if name.endswith("/"):
                found.extend(f"{path}/{name}{below}" for below in self._visible(path + "/" + name))
        cut = len(found) - _FOLDER_ENTRIES
        more = f"\n[... and {cut} more ...]" if cut > 0 else ""
        title = f"Files and folders in {path}, two levels deep, hidden ones left out:\n"
        return title + "\n".join([path + "/", *found[:_FOLDER_ENTRIES]]) + more + "\n"

    def _visible(self, path: str) -> list[str]:
        return [name for name in self._workspace.names(path) if not name.startswith(".")]

    def _create(self, edit: Edit, path: str) -> Outcome:
        text = _needed(edit.file_text, "create", "file_text")
        with self._workspace.find(path, make_folders=True) as found:
            if found.status is not None:
                raise CannotEdit(f"{path} exists already: create is for new files, use str_replace or insert.")
        return self._change(path, None, None, TextFile.of(text), f"Created the file {path}.")

    def _replace(self, edit: Edit, path: str) -> Outcome:
        old = _needed(edit.old_str, "str_replace", "old_str")
        data, file = self._editable(path)
        text, old, new = file.text, file.normalized(old), file.normalized(edit.new_str or "")
        if not old or old == new:
            raise CannotEdit(
                "Nothing was replaced: old_str must not be empty, and new_str must differ in more than its line ends."
            )
        positions = [found.start() for found in re.finditer(re.escape(old), text)]
        if not positions:
            raise CannotEdit(f"Nothing was replaced: old_str does not stand in {path} exactly so. View the file.")
        if len(positions) > 1:
            lines = ", ".join(str(text.count("\n", 0, position) + 1) for position in positions[:20])
            raise CannotEdit(
                f"Nothing was replaced: old_str stands {len(positions)} times in {path} (lines {lines}). "
                "Add lines around it until it is the only one."
            )
        changed = file.replaced(positions[0], positions[0] + len(old), edit.new_str or "")
        first = text.count("\n", 0, positions[0])
        return self._change(path, data, file, changed, _snippet(path, changed.text, first, first + new.count("\n")))

    def _insert(self, edit: Edit, path: str) -> Outcome:
        new = _needed(edit.new_str, "insert", "new_str")
        data, file = self._editable(path)
        lines = lines_of(file.text)
        after = edit.insert_line
        if after is None or not 0 <= after <= len(lines):
            raise CannotEdit(f"insert_line must be from 0 to {len(lines)}, the lines of {path}.")
        if not file.normalized(new).endswith("\n"):
            new += "\n"
        position = sum(len(line) + 1 for line in lines[:after])
        open_end = position > len(file.text)
        changed = file.replaced(position - open_end, position - open_end, "\n" * open_end + new)
        last = after + file.normalized(new).count("\n") - 1
        return self._change(path, data, file, changed, _snippet(path, changed.text, after, last))

    def _take_back(self, edit: Edit, path: str) -> Outcome:
        before = self._undo.last(path)
        if before is None:
            raise CannotEdit(f"There is no edit of {path} to take back.")
        _, old = self._decoded(path)
        if before.content is None:
            self._workspace.remove(path)
            done = _outcome(True, f"Took back the creation of {path}: it is gone.", path, prev_exist=True)
            done["old_content"] = _capped(old.text)
        else:
            self._workspace.write(path, before.content)
            done = _changed(path, old, TextFile.decode(before.content), f"Took back the last edit of {path}.")
        self._undo.drop(path)
        return done

    def _change(self, path: str, data: bytes | None, old: TextFile | None, new: TextFile, content: str) -> Outcome:
        encoded = new.encode()
        if len(encoded) > FILE_LIMIT:
            raise CannotEdit(f"The file would be larger than {FILE_LIMIT} bytes.")
        self._undo.push(path, data)
        try:
            self._workspace.write(path, encoded)
        except BaseException:
            self._undo.drop(path)
            raise
        return _changed(path, old, new, content)

    def _editable(self, path: str) -> tuple[bytes, TextFile]:
        data, file = self._decoded(path)
        if file.encoding != "UTF-8":
            raise CannotEdit(
                f"{path} is not in UTF-8 but in {file.encoding}, and stays as it is: "
                "change it with a command, or convert it first (iconv)."
            )
        return data, file

    def _decoded(self, path: str) -> tuple[bytes, TextFile]:
        with self._workspace.find(path) as found:
            if found.is_folder:
                raise CannotEdit(f"{path} is a folder.")
            if found.status is None:
                raise CannotEdit(f"There is no file {path}.")
        data = self._workspace.read(path, limit=FILE_LIMIT)
        try:
            return data, TextFile.decode(data)
        except UnknownEncoding:
            raise CannotEdit(f"{path} is not a text; use a command to look at it or to change it.") from None


def _outcome(ok: bool, content: str, path: str, *, prev_exist: bool = False) -> Outcome:
    return {
        "kind": "edit",
        "ok": ok,
        "content": content,
        "path": path,
        "prev_exist": prev_exist,
        "old_content": None,
        "new_content": None,
        "diff": None,
    }


def _changed(path: str, old: TextFile | None, new: TextFile, content: str) -> Outcome:
    done = _outcome(True, content, path, prev_exist=old is not None)
    done.update(
        old_content=None if old is None else _capped(old.text),
        new_content=_capped(new.text),
        diff=_capped(unified("" if old is None else old.text, new.text, path)),
    )
    return done


def _capped(text: str) -> str | None:
    return text if len(text) <= CONTENT_LIMIT else None


def _needed(value: str | None, command: str, name: str) -> str:
    if value is None:
        raise CannotEdit(f"{command} needs {name}.")
    return value


def _noted(file: TextFile) -> str:
    """What the lines do not show, for the title of a view."""
    notes = []
    if file.encoding == "Latin-1":
        notes.append("not in UTF-8, read as Latin-1: letters beyond ASCII may be others")
    elif file.encoding != "UTF-8" or file.mark:
        notes.append(f"in {file.encoding}" + " with a byte order mark" * bool(file.mark))
    kinds = [name for end, name in (("\n", "LF"), ("\r\n", "CRLF"), ("\r", "CR")) if end in file.ends]
    if kinds not in ([], ["LF"]):
        notes.append(f"with line ends {' and '.join(kinds)}")
    return f" ({', '.join(notes)})" if notes else ""


def _range(wanted: tuple[int, int] | None, count: int) -> tuple[int, int]:
    if wanted is None:
        return 1, count
    first, last = wanted
    last = count if last == -1 else last
    if not 1 <= first <= max(count, 1) or last < first:
        raise CannotEdit(f"view_range must be [first, last] with 1 <= first <= last; the file has {count} lines.")
    return first, min(last, count)


def _numbered(lines: list[str], first: int, last: int) -> str:
    return "\n".join(f"{first + i:6}\t{line}" for i, line in enumerate(lines[first - 1 : last]))


def _snippet(path: str, text: str, first: int, last: int) -> str:
    """The changed lines (counted from 0) with the lines around them."""
    lines = lines_of(text)
    start, end = max(0, first - _SNIPPET), min(len(lines), last + 1 + _SNIPPET)
    shown = _numbered(lines, start + 1, end)
    if len(shown) > VIEW_LIMIT:
        shown = shown[:VIEW_LIMIT] + "\n[... cut here ...]"
    return f"Changed {path}; the lines around the change now read:\n{shown}\nCheck that they are right.\n"
