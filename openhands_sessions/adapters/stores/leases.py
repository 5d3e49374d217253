"""Leases: which opened store works on which conversation, and whether its process is still alive."""

import asyncio
import fcntl
import os
import re
import socket
import sqlite3
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from openhands_sessions.adapters.stores.checksums import ROW_COLUMNS, row_checksum
from openhands_sessions.adapters.stores.encoding import microseconds, moment_of
from openhands_sessions.adapters.stores.sqlite_migrations import seal_rows
from openhands_sessions.adapters.stores.sqlite_schema import LIVE, unavailable
from openhands_sessions.core.errors import NotFound, OwnedElsewhere, StorageError, StorageUnavailable
from openhands_sessions.core.ids import ConversationId

log = structlog.get_logger(__name__)

LEASE_TTL = 30.0
_BOOT = re.compile("[0-9a-f]{32}")
_PROBE = "probe"
_PROBE_BYTES = 64 * 1024
"""What a disk that was full must take: a single page may find room where the next append does not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """One opened store as a holder of leases. Its leases are void `ttl` seconds after its last renewal, or at once when
    its process has ended; `boot` names this opening, `node` is for people."""

    node: str = field(default_factory=lambda: socket.gethostname() or "unnamed")
    ttl: float = LEASE_TTL
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    boot: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def expires_at(self) -> datetime:
        """When a lease that is renewed now becomes void."""
        return self.clock() + timedelta(seconds=self.ttl)


@asynccontextmanager
async def renewed(holder: Holder, renew: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Call `renew` three times per `ttl` for the length of the block: once for all leases of the holder."""

    async def run() -> None:
        while True:
            await asyncio.sleep(holder.ttl / 3)
            try:
                await renew()
            except StorageUnavailable:
                pass  # the store's condition tells
            except StorageError as error:
                log.warning("the leases were not renewed", problem=error.message)

    task = asyncio.create_task(run(), name="renew leases")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


class Leases:
    """The leases of one opened store. What takes a connection runs in a transaction on the writer's thread, but for
    `held`, which only reads."""

    def __init__(self, database: Path, holder: Holder) -> None:
        self.active = False
        """Whether a lease was claimed, so that there is something to renew."""
        self._database = database
        self._holder = holder
        self._lock: int | None = None

    def claim(self, sid: ConversationId, connection: sqlite3.Connection) -> int:
        """The new term. Raises NotFound, OwnedElsewhere, StorageUnavailable."""
        row = connection.execute(
            "SELECT key, holder FROM conversations WHERE id = ? AND gone = ?", (sid, LIVE)
        ).fetchone()
        if row is None:
            raise NotFound("conversation", sid)
        key, holder = row
        if (node := self._living(holder, connection)) is not None:
            raise OwnedElsewhere(node)
        if not self.active:
            self._take_lock()
            self._forget_the_dead(connection)
            self.active = True
        self.renew(connection)
        [(term,)] = connection.execute(
            "UPDATE conversations SET term = term + 1, holder = ?, approval_due = NULL WHERE key = ? RETURNING term",
            (self._holder.boot, key),
        ).fetchall()
        return int(term)

    def renew(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO holders (boot, node, expires_at) VALUES (?, ?, ?)",
            (self._holder.boot, self._holder.node, microseconds(self._holder.expires_at)),
        )

    def leave(self, connection: sqlite3.Connection) -> None:
        """At the end of the store: what it still holds may be claimed by others at once."""
        connection.execute("DELETE FROM holders WHERE boot = ?", (self._holder.boot,))

    def close(self) -> None:
        """Unlock and remove the lock file."""
        if self._lock is not None:
            with suppress(OSError):
                self._lock_file(self._holder.boot).unlink()
            os.close(self._lock)
            self._lock = None

    def held(self, connection: sqlite3.Connection) -> Sequence[ConversationId]:
        found = connection.execute(
            "SELECT id, holder FROM conversations WHERE holder IS NOT NULL AND gone = 0 ORDER BY key"
        ).fetchall()
        living = {holder: self._living(holder, connection) is not None for holder in {holder for _, holder in found}}
        return [ConversationId(sid) for sid, holder in found if not living[holder]]

    def _living(self, boot: str | None, connection: sqlite3.Connection) -> str | None:
        """The node of another holder whose leases are valid."""
        if not isinstance(boot, str) or not _BOOT.fullmatch(boot) or boot == self._holder.boot:
            return None  # no checksum covers it: a flipped bit leaves a name that no holder has
        row = connection.execute("SELECT node, expires_at FROM holders WHERE boot = ?", (boot,)).fetchone()
        valid = row is not None and isinstance(row[1], int) and row[1] > microseconds(self._holder.clock())
        return str(row[0]) if valid and _locked(self._lock_file(boot)) else None

    def _forget_the_dead(self, connection: sqlite3.Connection) -> None:
        """Remove what holders have left whose process was killed."""
        for (boot,) in connection.execute("SELECT boot FROM holders").fetchall():
            if boot != _PROBE and not (isinstance(boot, str) and _BOOT.fullmatch(boot)):
                continue  # a flipped bit leaves a name that no holder has
            path = self._lock_file(boot)
            if not _locked(path):
                connection.execute("DELETE FROM holders WHERE boot = ?", (boot,))
                path.unlink(missing_ok=True)

    def _take_lock(self) -> None:
        """Python opens files so that programs which this process starts do not inherit them: such a program, still
        running after a kill, would otherwise keep the lock."""
        try:
            self._lock = os.open(self._lock_file(self._holder.boot), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        except OSError as error:
            self.close()
            raise unavailable(error) from error

    def _lock_file(self, boot: str) -> Path:
        return self._database.with_name(f"{self._database.name}-{boot}.lock")


def due(limit: int, connection: sqlite3.Connection) -> Sequence[tuple[ConversationId, datetime]]:
    """The conversations whose approvals are due next, the earliest first."""
    found = connection.execute(
        "SELECT id, approval_due FROM conversations WHERE approval_due IS NOT NULL AND gone = 0"
        " ORDER BY approval_due LIMIT ?",
        (limit,),
    ).fetchall()
    # No checksum covers it: the log says whether it is due.
    return [(ConversationId(sid), moment_of(moment)) for sid, moment in found if isinstance(moment, int)]


def release(
    sid: ConversationId, term: int, at: datetime, approval_due: datetime | None, connection: sqlite3.Connection
) -> None:
    """Without effect where a newer term was claimed."""
    row = connection.execute(
        f"SELECT {', '.join(ROW_COLUMNS)}, checksum FROM conversations WHERE id = ? AND term = ? AND gone = ?",
        (sid, term, LIVE),
    ).fetchone()
    if row is None:
        return
    *values, checksum = row
    due_at = None if approval_due is None else microseconds(approval_due)
    connection.execute(
        "UPDATE conversations SET holder = NULL, updated_at = ?, approval_due = ? WHERE id = ?",
        (microseconds(at), due_at, sid),
    )
    if checksum == row_checksum(values):  # a damaged row stays known as one
        seal_rows(connection, sid)


def write_probe(connection: sqlite3.Connection) -> None:
    """A holder without a lock file: where the process ends now, the next one removes it."""
    connection.execute("INSERT OR REPLACE INTO holders VALUES (?, zeroblob(?), 0)", (_PROBE, _PROBE_BYTES))


def clear_probe(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM holders WHERE boot = ?", (_PROBE,))


def in_use(database: Path) -> bool:
    """Whether a living process has the database open as a store."""
    return any(map(_locked, database.parent.glob(f"{database.name}-*.lock")))


def _locked(path: Path) -> bool:
    """Whether a living process holds the exclusive lock. A shared lock to find out: so two who look at the same time
    do not take each other for the holder."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # nothing is known: then its time decides
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(descriptor)
