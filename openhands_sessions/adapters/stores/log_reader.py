"""How a log is read in batches, each entry checked."""

import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise, takewhile

from openhands_sessions.adapters.stores.checksums import event_checksum, kind_seed
from openhands_sessions.adapters.stores.encoding import BATCH_BYTES, BATCH_ENTRIES
from openhands_sessions.adapters.stores.sqlite_schema import LIVE, SPAN, corruption
from openhands_sessions.core.errors import DamagedRecord
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId

_KINDS_KNOWN = 4096

KEY = f"(SELECT key FROM conversations WHERE id = :sid AND gone = {LIVE})"
"""None for a deleted conversation, so that nothing of it is found while its rows are still being removed."""

_RANGE = f"events WHERE key > {KEY} * {SPAN} + :after AND key < {KEY} * {SPAN} + :before ORDER BY key"
_ORDERS = {False: "ASC", True: "DESC"}
_HEAD = f"(SELECT max(key) FROM events WHERE key >= {KEY} * {SPAN} AND key < ({KEY} + 1) * {SPAN})"

OUTLINE = {
    reverse: f"""SELECT {KEY}, {_HEAD}, group_concat(key & {SPAN - 1}), group_concat(size)
        FROM (SELECT key, size FROM {_RANGE} {order} LIMIT :limit)"""
    for reverse, order in _ORDERS.items()
}
TEXTS = {
    reverse: f"""SELECT group_concat(form), group_concat(ifnull(checksum, '')), CAST(group_concat(text, '') AS BLOB)
        FROM (SELECT form, checksum, text FROM {_RANGE} {order})"""
    for reverse, order in _ORDERS.items()
}
"""By `reverse`. An aggregate sees the rows in the order of its ordered subquery; SQLite does not promise this, so the
results are checked."""
_ROWS = "SELECT key, form, size, CAST(text AS BLOB), checksum FROM events WHERE key >= ? AND key <= ?"


class EventKinds:
    """Kind, schema and checksum seed by their number in `events`. A number once given never changes."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, int, int]] = {}

    def get(self, connection: sqlite3.Connection, form: int) -> tuple[str, int, int] | None:
        """None for a number that was never given."""
        known = self._known.get(form)
        if known is None:
            if len(self._known) >= _KINDS_KNOWN:
                self._known.clear()
            found = connection.execute("SELECT kind, schema FROM forms WHERE id = ?", (form,)).fetchone()
            if found is None:
                return None
            known = self._known[form] = (found[0], found[1], kind_seed(*found))
        return known


class LogReader:
    """Reads a log in batches. A batch costs statements of one row each, however many entries it has: a thread releases
    and takes the interpreter's lock once per row, which a busy event loop would delay. Between two batches it holds
    numbers only: no transaction, no connection."""

    def __init__(
        self,
        sid: ConversationId,
        kinds: EventKinds,
        *,
        after: int,
        before: int | None,
        reverse: bool,
        limit: int | None,
    ) -> None:
        self._sid = sid
        self._event_kinds = kinds
        self._after = max(after, -1)
        self._before = SPAN if before is None else min(before, SPAN)
        self._reverse = reverse
        self._left = limit
        self._more = limit is None or limit > 0
        self._key = 0
        self._ids: Sequence[int] = ()
        self._ends: Sequence[int] = ()
        self._at = 0

    @property
    def done(self) -> bool:
        return not self._more and self._at == len(self._ids)

    def next(self, connection: sqlite3.Connection) -> Sequence[Stored]:
        """The next batch, on a reader's thread; empty at the end. Raises DamagedRecord where the next entry is not as
        it was written, and sqlite3.Error."""
        if self._at == len(self._ids):
            self._look_ahead(connection)
        if not self._ids:
            return ()
        start, base = self._at, self._ends[self._at - 1] if self._at else 0
        self._at = max(start + 1, bisect_right(self._ends, base + BATCH_BYTES))
        ids, ends = self._ids[start : self._at], [end - base for end in self._ends[start : self._at]]
        batch = self._together(connection, ids, ends) or self._one_by_one(connection, ids)
        if batch is None:  # deleted meanwhile
            self._more, self._at = False, len(self._ids)
            return ()
        sound = list(takewhile(lambda entry: entry is not None, batch))
        if not sound:
            damaged = list(takewhile(lambda pair: pair[1] is None, zip(ids, batch, strict=True)))
            raise self._damage(damaged[0][0], damaged[-1][0])
        self._at = start + len(sound)
        return [entry for entry in sound if entry is not None]

    def _look_ahead(self, connection: sqlite3.Connection) -> None:
        """Find ids and sizes of the next entries, without reading their texts. Raises DamagedRecord where the next one
        is missing."""
        asked = BATCH_ENTRIES if self._left is None else min(self._left, BATCH_ENTRIES)
        key, newest, ids, sizes = connection.execute(
            OUTLINE[self._reverse], {"sid": self._sid, "after": self._after, "before": self._before, "limit": asked}
        ).fetchone()
        found = [int(id) for id in ids.split(",")] if ids else []
        if any((a > b) != self._reverse for a, b in pairwise(found)):
            raise corruption("a log's entries are in disorder")
        first, last = self._after + 1, min(self._before - 1, -1 if newest is None else newest - key * SPAN)
        due = range(first, last + 1)[:: -1 if self._reverse else 1][:asked]
        self._key, self._at = key, 0
        self._ids = [id for id, expected in zip(found, due, strict=False) if id == expected]
        self._ends = list(accumulate(_sizes(sizes, len(self._ids))))
        if due and not self._ids:
            raise self._damage(due[0], (found[0] + (1 if self._reverse else -1)) if found else due[-1])
        if self._left is not None:
            self._left -= len(self._ids)
        self._more = len(self._ids) > 0 and self._left != 0 and (len(self._ids) == asked or len(self._ids) < len(due))
        if self._ids and self._reverse:
            self._before = self._ids[-1]
        elif self._ids:
            self._after = self._ids[-1]

    def _together(
        self, connection: sqlite3.Connection, ids: Sequence[int], ends: Sequence[int]
    ) -> Sequence[Stored | None] | None:
        """The entries, read at once; None where one of them needs a closer look."""
        forms, checksums, texts = connection.execute(
            TEXTS[self._reverse],
            {"sid": self._sid, "after": min(ids[0], ids[-1]) - 1, "before": max(ids[0], ids[-1]) + 1},
        ).fetchone()
        if texts is None or len(texts) != ends[-1]:
            return None
        numbers, sums = forms.split(","), checksums.split(",")
        if not len(numbers) == len(sums) == len(ids):
            return None
        batch, at = [], 0
        for id, end, form, checksum in zip(ids, ends, numbers, sums, strict=True):
            entry = self._entry(connection, id, form, texts[at:end], checksum)
            if entry is None:
                return None
            batch.append(entry)
            at = end
        return batch

    def _one_by_one(self, connection: sqlite3.Connection, ids: Sequence[int]) -> Sequence[Stored | None] | None:
        """Each entry, None in place of one that is not as it was written; None where there is nothing any more."""
        base = self._key * SPAN
        rows = connection.execute(_ROWS, (base + min(ids[0], ids[-1]), base + max(ids[0], ids[-1]))).fetchall()
        if connection.execute(f"SELECT {KEY}", {"sid": self._sid}).fetchone()[0] is None:
            return None
        found: dict[int, Stored | None] = {}
        for key, form, size, text, checksum in rows:
            whole = isinstance(text, bytes) and size == len(text)
            told = "" if checksum is None else checksum
            found[key - base] = self._entry(connection, key - base, form, text, told) if whole else None
        return [found.get(id) for id in ids]

    def _entry(
        self, connection: sqlite3.Connection, id: int, form: str | int, text: bytes, checksum: str | int
    ) -> Stored | None:
        """None where it is not as it was written. One of an earlier version may have no checksum yet."""
        try:
            known = self._event_kinds.get(connection, int(form))
            if known is None:
                return None
            kind, schema, seed = known
            if checksum != "" and int(checksum) != event_checksum(seed, self._key * SPAN + id, text):
                return None
            return Stored(EventId(id), kind, schema, text.decode())
        except (ValueError, OverflowError):
            return None

    def _damage(self, first: int, last: int) -> DamagedRecord:
        return DamagedRecord.of_events(self._sid, min(first, last), max(first, last))


def _sizes(told: str | None, count: int) -> list[int]:
    """As many as there are entries; zeros where a size is no number any more, so that each entry is looked at."""
    try:
        sizes = [int(size) for size in (told or "").split(",")] if told else []
    except ValueError:
        return [0] * count
    return sizes[:count] if len(sizes) >= count and min(sizes, default=0) >= 0 else [0] * count
