"""A copy of everything that a server keeps, made while it runs, and the way back."""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from openhands_sessions import __version__
from openhands_sessions.adapters.folder_copy import Copied, copy_folder
from openhands_sessions.adapters.runtimes.local.paths import remove_untrusted_tree
from openhands_sessions.adapters.stores.leases import in_use
from openhands_sessions.adapters.stores.sqlite_backup import back_up_sqlite, look_at_backup
from openhands_sessions.bootstrap.kinds import database, sandboxes
from openhands_sessions.config.config import Config
from openhands_sessions.core.errors import BadInput, SessionsError, StorageError
from openhands_sessions.ports.store import StoredCounts

FORMAT = 1
"""Of the folder; a higher one is refused."""
MANIFEST = "backup.json"
LOCK = "server.lock"
"""The file that a running server locks; it says nothing of what is stored."""
_DATABASE, _WORKSPACES, _OTHERS = "sessions.db", "runtimes", "data"
"""In a backup, wherever the configuration has them."""
_ASIDE, _NEW = ".replaced-", ".restoring"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds, and what could not be copied: paths with reasons."""

    counts: StoredCounts
    copied: Copied


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a server keeps what."""

    database: Path
    workspaces: Path
    others: Path

    @classmethod
    def of(cls, config: Config) -> "_Places":
        """Raises BadInput for a store that is backed up in another way."""
        if config.store.kind != "sqlite":
            raise BadInput("store.kind", "must be sqlite: other stores are backed up by their own programs")
        return cls(database(config), sandboxes(config), config.data_dir)

    def is_apart(self, name: str) -> bool:
        """Whether a path in the data folder is copied in another way, or not at all."""
        if "/" in name:
            return False
        path, stored = self.others / name, self.database.name
        named = name == stored or name.startswith((f"{stored}-", f"{stored}."))
        of_database = named and path.parent == self.database.parent
        return of_database or path == self.workspaces or name == LOCK or _ASIDE in name or name.endswith(_NEW)

    @property
    def taken(self) -> list[Path]:
        """What is there, and a restore would replace."""
        found = [path for path in (self.database, self.workspaces) if path.exists()]
        others = sorted(self.others.iterdir()) if self.others.is_dir() else []
        return found + [path for path in others if not self.is_apart(path.name)]


def back_up(config: Config, folder: Path) -> Backup:
    """Make the new folder. The database is copied first, as of one moment: what it refers to is copied after it, and is
    at least as new. Blocks. Raises BadInput, StorageError, SessionsError; then there is no such folder."""
    places = _Places.of(config)
    if folder.exists():
        raise BadInput(str(folder), "exists already: name a new folder")
    if folder.is_relative_to(places.others) or folder.is_relative_to(places.workspaces):
        raise BadInput(str(folder), "is in the data folder: name one outside of it, better on another disk")
    partial = folder.with_name(f".{folder.name}.partial-{secrets.token_hex(4)}")
    with _whole_or_nothing((partial,), f"{folder} cannot be written"):
        partial.mkdir(mode=0o700, parents=True)
        counts = back_up_sqlite(places.database, partial / _DATABASE)
        _own_like(places.database, partial / _DATABASE)
        copied = copy_folder(places.others, partial / _OTHERS, places.is_apart)
        if places.workspaces.is_dir():
            copied = copied.with_more(copy_folder(places.workspaces, partial / _WORKSPACES))
        told = {"format": FORMAT, "version": __version__, "made_at": datetime.now(UTC).isoformat(timespec="seconds")}
        (partial / MANIFEST).write_text(json.dumps(told) + "\n")
        os.sync()
        partial.rename(folder)
    return Backup(counts, copied)


def restore(config: Config, folder: Path, *, replace: bool) -> tuple[Backup, list[Path]]:
    """Put a backup where the configuration says, and return the places of what was there before, which is moved aside;
    without `replace` that is refused. No server may run. Everything is copied before anything is moved. Blocks. Raises
    BadInput, StorageError, SessionsError; then all is as it was, unless the error says otherwise."""
    places = _Places.of(config)
    _check_manifest(folder)
    counts = look_at_backup(folder / _DATABASE)
    if in_use(places.database):
        raise StorageError("another program has the database open: end it first")
    taken = places.taken
    if taken and not replace:
        names = ", ".join(path.name for path in taken)
        raise StorageError(f"there is data already: {names}. Name another data folder, or move it aside with --replace")
    new = _Places(*map(_new, (places.database, places.workspaces, places.others / _OTHERS)))
    with _whole_or_nothing((new.database, new.workspaces, new.others), "the backup cannot be copied"):
        copied = _stage(folder, new)
    try:
        aside = [moved for path in taken for moved in _move_aside(path)]
        _move_in(new, places)
    except OSError as error:
        problem = f"what was copied cannot be moved into its place: {error.strerror}"
        raise SessionsError(f"{problem}. What was there has {_ASIDE} in its name; restore again") from error
    return Backup(counts, copied), aside


def _stage(folder: Path, new: _Places) -> Copied:
    """Copy beside the places, so that moving into them is a change of names."""
    for path in (new.database, new.workspaces, new.others):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    copied = copy_folder(folder / _OTHERS, new.others)
    if (folder / _WORKSPACES).is_dir():
        copied = copied.with_more(copy_folder(folder / _WORKSPACES, new.workspaces))
    shutil.copy2(folder / _DATABASE, new.database)
    _own_like(folder / _DATABASE, new.database)
    os.sync()
    return copied


def _move_in(new: _Places, places: _Places) -> None:
    """The database comes last: without it, a server that is started meanwhile says what is missing."""
    for path in sorted(new.others.iterdir()):
        path.rename(places.others / path.name)
    new.others.rmdir()
    if new.workspaces.exists():
        new.workspaces.rename(places.workspaces)
    new.database.rename(places.database)
    os.sync()


def _move_aside(path: Path) -> Iterator[Path]:
    """Of a database with its write-ahead log, which SQLite finds by the name."""
    aside = path.with_name(f"{path.name}{_ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}")
    for end in ("-wal", "-shm"):
        if (beside := path.with_name(f"{path.name}{end}")).is_file():
            beside.rename(aside.with_name(f"{aside.name}{end}"))
    path.rename(aside)
    yield aside


def _new(path: Path) -> Path:
    return path.with_name(f"{path.name}{_NEW}")


def _check_manifest(folder: Path) -> None:
    """Raises BadInput."""
    try:
        told = json.loads((folder / MANIFEST).read_bytes())
        form = told["format"]
    except (OSError, ValueError, TypeError, KeyError):
        raise BadInput(str(folder), f"is no backup: it has no {MANIFEST} of `openhands-sessions backup`") from None
    if form != FORMAT:
        raise BadInput(str(folder), "was made by a newer version: install that one first")


@contextmanager
def _whole_or_nothing(paths: Sequence[Path], problem: str) -> Iterator[None]:
    """Remove these paths where the block does not end well, also before it begins. Raises SessionsError for an
    OSError of the block."""
    try:
        _remove(paths)
        yield
    except BaseException as error:
        with suppress(OSError):
            _remove(paths)
        if not isinstance(error, OSError):
            raise
        why = "there is no room" if error.errno in _NO_ROOM else error.strerror or str(error)
        raise SessionsError(f"{problem}: {why}. Nothing of it is left") from error


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir():
            remove_untrusted_tree(path)
        else:
            path.unlink(missing_ok=True)


def _own_like(source: Path, target: Path) -> None:
    if os.geteuid() == 0:
        found = source.stat()
        os.chown(target, found.st_uid, found.st_gid)
