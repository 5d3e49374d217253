"""Damages what a store has written, and reads a damaged log to its end."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

from openhands_sessions.core.errors import DamagedRecord
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.store import EventLog

_SPAN = 2**32


class Damage(Protocol):
    """Damages these events, or without any the conversation's row, snapshots, read marks, state and shares of views."""

    def __call__(self, sid: ConversationId, *events: int) -> None: ...


def damage_database(path: Path, sid: ConversationId, *events: int) -> None:
    """As flipped bits do: the texts are others, the checksums are not."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        [key] = connection.execute("SELECT key FROM conversations WHERE id = ?", (sid,)).fetchone()
        for event in events:
            connection.execute("UPDATE events SET text = replace(text, 'i', 'j') WHERE key = ?", (key * _SPAN + event,))
        if not events:
            connection.execute("UPDATE conversations SET title = 'another' WHERE key = ?", (key,))
            connection.execute("UPDATE snapshots SET text = 'another' WHERE conversation = ?", (key,))
            connection.execute("UPDATE read_marks SET event = event + 1 WHERE conversation = ?", (key,))
            connection.execute(
                "UPDATE state_entries SET revision = 7 WHERE state IN (SELECT key FROM states WHERE conversation = ?)",
                (key,),
            )
            connection.execute("UPDATE shares SET permission = 'write' WHERE conversation = ?", (key,))


async def read_all(log: EventLog, *, reverse: bool = False) -> tuple[list[Stored], list[tuple[int, int]]]:
    """What can be read, and which stretches are damaged."""
    entries: list[Stored] = []
    damaged: list[tuple[int, int]] = []
    after, before = -1, None
    while True:
        try:
            async for batch in log.read(after, before=before, reverse=reverse):
                entries += batch
            return entries, damaged
        except DamagedRecord as error:
            first, last = (-1 if place is None else place for place in (error.first, error.last))
            damaged.append((first, last))
            after, before = (after, first) if reverse else (last, before)
