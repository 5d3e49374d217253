"""Which events of each conversation move its history, and where the state goes back to: kept beside the logs."""

import sqlite3
from collections.abc import Sequence

from openhands_sessions.adapters.stores.checksums import move_checksum
from openhands_sessions.core.errors import DamagedRecord, StorageError
from openhands_sessions.core.events.codec import Stored, decode_for_fold
from openhands_sessions.core.events.own import HistoryMovedObservation
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.lineage import state_goes_back_to

MOVE = f"observation:{HistoryMovedObservation.KIND}"


def move_of(entry: Stored) -> tuple[EventId, EventId] | None:
    """An event that moves the history, and the one up to which the state goes back; None where it moves nothing, also
    because it cannot be read."""
    try:
        event = decode_for_fold(entry.text, entry.schema) if entry.kind == MOVE else None
    except StorageError:
        return None
    to = state_goes_back_to(event) if isinstance(event, HistoryMovedObservation) else None
    return None if to is None else (entry.id, to)


def add_moves(connection: sqlite3.Connection, moves: Sequence[tuple[int, EventId, EventId]]) -> None:
    """Keep moves, each with the number of its conversation."""
    connection.executemany(
        "INSERT INTO history_moves VALUES (?, ?, ?, ?)", [(*move, move_checksum(*move)) for move in moves]
    )


def history_moves(conversation: int, connection: sqlite3.Connection) -> tuple[tuple[EventId, EventId], ...]:
    """As `Lineage.moves` has them, but with the event up to which the state goes back, and without those that were
    stored by earlier versions. Raises DamagedRecord."""
    found = connection.execute(
        "SELECT event, target, checksum FROM history_moves WHERE conversation = ? ORDER BY event", (conversation,)
    ).fetchall()
    for event, target, checksum in found:
        if checksum != move_checksum(conversation, event, target):
            raise DamagedRecord("where a conversation's history was moved to is damaged on the disk: restore a backup")
    return tuple((EventId(event), EventId(target)) for event, target, _ in found)
