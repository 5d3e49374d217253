"""The editor tool over a dict of files."""

from dataclasses import dataclass, field

from openhands_sessions.core.errors import PathRefused
from openhands_sessions.ports.runtime import WORKSPACE, EditDone, EditFile


def key_of(path: str) -> str:
    """A path as the dict has it, relative to the workspace. Raises PathRefused."""
    inside = f"{path}/".startswith(f"{WORKSPACE}/")
    relative = path[len(WORKSPACE) :] if inside else path
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if (path.startswith("/") and not inside) or ".." in parts or "\0" in path or any(len(part) > 255 for part in parts):
        raise PathRefused(f"{path[:100]!r} is refused")
    return "/".join(parts)


@dataclass
class DictEditor:
    files: dict[str, bytes]
    before: dict[str, list[bytes | None]] = field(default_factory=dict)

    def apply(self, edit: EditFile) -> EditDone:
        try:
            key = key_of(edit.path)
        except PathRefused as error:
            return EditDone(ok=False, content=error.message, path=edit.path)
        old = self.files.get(key)
        match edit.command:
            case "view":
                return self._view(edit, key)
            case "create" if old is None and edit.file_text is not None:
                return self._change(key, old, edit.file_text)
            case "str_replace" if old is not None and edit.old_str and old.decode().count(edit.old_str) == 1:
                return self._change(key, old, old.decode().replace(edit.old_str, edit.new_str or ""))
            case "insert" if old is not None and edit.new_str is not None and edit.insert_line is not None:
                lines = old.decode().splitlines(keepends=True)
                if edit.insert_line <= len(lines):
                    new = [*lines[: edit.insert_line], edit.new_str + "\n", *lines[edit.insert_line :]]
                    return self._change(key, old, "".join(new))
            case "undo_edit" if self.before.get(key):
                return self._undo(key)
            case _:
                pass
        return EditDone(ok=False, content=f"{edit.command} cannot be done", path=edit.path, prev_exist=old is not None)

    def _view(self, edit: EditFile, key: str) -> EditDone:
        path = f"{WORKSPACE}/{key}".rstrip("/")
        if key in self.files:
            lines = list(enumerate(self.files[key].decode().splitlines(), 1))
            first, last = edit.view_range or (1, len(lines))
            shown = "".join(f"{number:6}\t{line}\n" for number, line in lines[first - 1 : last])
            return EditDone(ok=True, content=shown, path=path, prev_exist=True)
        below = sorted(name for name in self.files if name.startswith(key))
        shown = "".join(f"{WORKSPACE}/{name}\n" for name in below)
        return EditDone(ok=bool(below) or not key, content=shown, path=path)

    def _undo(self, key: str) -> EditDone:
        before = self.before[key].pop()
        path, old = f"{WORKSPACE}/{key}", self.files.pop(key).decode()
        if before is None:
            return EditDone(ok=True, content="undone", path=path, prev_exist=True, old_content=old)
        self.files[key] = before
        new = before.decode()
        return EditDone(
            ok=True, content="undone", path=path, prev_exist=True, old_content=old, new_content=new, diff=""
        )

    def _change(self, key: str, old: bytes | None, new: str) -> EditDone:
        self.before.setdefault(key, []).append(old)
        self.files[key] = new.encode()
        return EditDone(
            ok=True,
            content="changed",
            path=f"{WORKSPACE}/{key}",
            prev_exist=old is not None,
            old_content=None if old is None else old.decode(),
            new_content=new,
            diff=f"--- {key}\n+++ {key}\n",
        )
