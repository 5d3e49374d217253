"""The journal of a sandbox's actions: reading it without its executor, and knowing when another one took its place."""

import json
import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from openhands_sessions.adapters.runtimes.executor_client.messages import outcome_of
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.executor.journal import NAME
from openhands_sessions.ports.runtime import Lost, Outcome, UnknownAction

_LINE_LIMIT = 8 << 20
_LIMIT = 64 << 20
_NAME_LINE = re.compile(rb'\{"journal":"([A-Za-z0-9_-]{1,64})"\}\n')


CLEARED = "cleared"
"""A file: the workspace was deleted, and the journal kept."""


def note_cleared(folder: Path) -> None:
    """Call before a workspace is made. Where actions were requested in an earlier one, note that it is gone. Raises
    OSError."""
    if (folder / NAME).exists():
        (folder / CLEARED).touch()


@dataclass(frozen=True, slots=True)
class NotInJournal(UnknownAction):
    """The journal of this name has no entry for the action; another journal may have one. "" for a journal without a
    name."""

    journal: str


def recorded_outcome(state: Path, key: str) -> Outcome | NotInJournal | Lost | None:
    """What the journal in a state folder says of an action whose executor is gone; None where there is no journal.
    Raises RuntimeUnavailable. The sandbox may have written anything there: the cost of reading is bounded, and a false
    entry harms only that sandbox."""
    try:
        descriptor = os.open(state / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RuntimeUnavailable(f"the sandbox's journal cannot be read: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LIMIT:
        os.close(descriptor)
        raise RuntimeUnavailable("the sandbox's journal cannot be read")
    with os.fdopen(descriptor, "rb") as file:
        name = ""
        found: Outcome | Lost | None = None
        while line := file.readline(_LINE_LIMIT):
            if named := _NAME_LINE.fullmatch(line):
                name = named.group(1).decode()
            elif key.encode() in line and line.endswith(b"\n"):
                found = _outcome_in(line, key) or found
        return found or NotInJournal(name)


def _outcome_in(line: bytes, key: str) -> Outcome | Lost | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or entry.get("key") != key:
        return None
    return outcome_of(entry.get("outcome")) if entry.get("state") == "done" else Lost()


class JournalIdentity:
    """Tells whether an action without an entry in a journal has never run. Writes the journal's name into `folder`, out
    of the sandbox's reach, before the first action is requested: a journal of another name replaced a lost one and
    knows nothing of earlier actions. All methods may raise RuntimeUnavailable.

    This assumes that no two actions of a conversation are open at once: the one that was open when the journal was
    lost is answered before the next one is requested."""

    def __init__(self, folder: Path, limiter: ThreadLimiter) -> None:
        self._folder = folder
        self._limiter = limiter
        self._name: str | None = None  # as it was last written
        self._replaced = False
        self._in_use = False  # an action was requested in the workspace that there is
        self._pending: dict[str, str] = {}  # action key to journal, until the action is answered

    async def request(self, key: str, journal: str) -> bool:
        """Call before an action is requested from an executor with this journal ("" for one of a version without
        names). False where the action was requested in another journal before, and may have run."""
        if key in self._pending:
            return self._pending[key] == journal
        if not self._in_use:
            await self._limiter.use_folder((self._folder / CLEARED).unlink, True)
            self._in_use = True
        if journal and journal != self._name:
            known = await self._limiter.use_folder(self._read)
            if known != journal:
                self._replaced = self._replaced or known is not None
                await self._limiter.use_folder(self._write, journal)
            self._name = journal
        self._pending[key] = journal
        return True

    def adopt(self, key: str, journal: str) -> None:
        """An action that another owner requested is running, and has an entry in this journal."""
        self._pending.setdefault(key, journal)

    def requested(self, key: str) -> bool:
        """Whether the action was requested and has no answer yet."""
        return key in self._pending

    def answered(self, key: str) -> None:
        self._pending.pop(key, None)

    async def never_ran(self, key: str, journal: str | None) -> bool:
        """Whether an action without an entry in this journal has certainly not run; None where there is no journal."""
        if key in self._pending:
            return self._pending[key] == journal
        return not self._replaced and await self._limiter.use_folder(self._read) in (None, journal)

    async def cleared(self) -> bool | None:
        """Whether the workspace of earlier actions was deleted, and none was requested since then; None where no
        journal is noted that could tell."""
        return await self._limiter.use_folder(self._cleared)

    def _cleared(self) -> bool | None:
        if (self._folder / CLEARED).exists():
            return True
        return None if self._read() is None else False

    def _read(self) -> str | None:
        try:
            return (self._folder / NAME).read_text(errors="replace")
        except FileNotFoundError:
            return None

    def _write(self, name: str) -> None:
        """Durable when it returns."""
        temporary = self._folder / f"{NAME}.{secrets.token_hex(4)}"
        with temporary.open("x") as file:
            file.write(name)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._folder / NAME)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
