"""Tokens that do not count any more although they have not expired: a file of the data folder, which the command line
writes and the server reads."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.ports.access import IssuedToken

FILE = "revoked_tokens.json"


@dataclass(frozen=True, slots=True)
class Revocations:
    """By the ids of tokens, and by users: of theirs, all that were issued up to a time of day, in seconds."""

    ids: frozenset[str] = frozenset()
    users: Mapping[str, float] = field(default_factory=dict)

    def cover(self, owner: OwnerId, token: IssuedToken) -> bool:
        """One that does not say when it was issued counts as old."""
        before = self.users.get(owner)
        return token.id in self.ids or (before is not None and (token.issued is None or token.issued <= before))


def read_revocations(path: Path) -> Revocations:
    """Those of a file; none where there is no file. Raises BadInput."""
    try:
        found = json.loads(path.read_bytes())
        ids, users = found["ids"], found["users"]
        if not all(isinstance(each, str) and each for each in ids):
            raise ValueError("an id is no text")
        return Revocations(frozenset(ids), {str(user): float(before) for user, before in users.items()})
    except FileNotFoundError:
        return Revocations()
    except OSError as error:
        raise BadInput(str(path), f"cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadInput(str(path), "is damaged: restore it, or remove it, and no token is revoked") from None


def revoke_token(path: Path, token: str) -> None:
    """The one with this id. Raises BadInput, OSError."""
    with _locked(path):
        found = read_revocations(path)
        _write(path, replace(found, ids=found.ids | {token}))


def revoke_tokens_of(path: Path, owner: OwnerId, now: float) -> None:
    """All that this user has by now. Raises BadInput, OSError."""
    with _locked(path):
        found = read_revocations(path)
        _write(path, replace(found, users={**found.users, owner: now}))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """While two commands write at once."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(path: Path, found: Revocations) -> None:
    """Whole or not at all."""
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    text = json.dumps({"ids": sorted(found.ids), "users": dict(found.users)}, indent=1)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        folder = path.parent.stat()
        if os.geteuid() == 0:  # the server, which is another user perhaps, must be able to read it
            os.fchown(out.fileno(), folder.st_uid, folder.st_gid)
        out.write(f"{text}\n")
        out.flush()
        os.fsync(out.fileno())
    unfinished.replace(path)
