"""What an executor left behind, read without it."""

import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from openhands_sessions.adapters.runtimes.executor_client.messages import outcome_of
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.runtime import Lost, Outcome, UnknownAction

NAME = "journal"
_LINE_LIMIT = 8 << 20
_LIMIT = 64 << 20
_NAME_LINE = re.compile(rb'\{"journal":"([A-Za-z0-9_-]{1,64})"\}\n')


@dataclass(frozen=True, slots=True)
class NotInJournal(UnknownAction):
    """The journal of this name has not heard of it; whether another one has is not said. "" for one without a name."""

    journal: str


def recorded_outcome(state: Path, key: str) -> Outcome | NotInJournal | Lost | None:
    """What the journal in a state folder says of an action whose executor is gone; None where there is no journal.
    Raises RuntimeUnavailable. The sandbox may have written what it likes there: the cost of reading is bounded, and it
    can lie only about itself."""
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
                found = _said(line, key) or found
        return found or NotInJournal(name)


def _said(line: bytes, key: str) -> Outcome | Lost | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or entry.get("key") != key:
        return None
    return outcome_of(entry.get("outcome")) if entry.get("state") == "done" else Lost()
