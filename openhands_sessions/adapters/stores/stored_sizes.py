"""How many bytes each conversation takes: its events and what it began with. Kept in step with each write."""

import json
import sqlite3
from collections.abc import Mapping

from openhands_sessions.adapters.stores.sqlite_schema import LIVE
from openhands_sessions.core.ids import OwnerId


def add_sizes(connection: sqlite3.Connection, added: Mapping[int, int]) -> None:
    """Add bytes to conversations, each by its key: in one statement, since the thread waits for the interpreter's lock
    after each."""
    if added:
        connection.execute(
            "UPDATE sizes SET bytes = bytes + more.value FROM json_each(?) AS more WHERE conversation = more.key + 0",
            (json.dumps(added),),
        )


def stored_by(owner: OwnerId, connection: sqlite3.Connection) -> tuple[int, int]:
    """How many conversations a user has, and how many bytes they take."""
    count, size = connection.execute(
        "SELECT count(*), coalesce(sum(bytes), 0) FROM conversations AS stored LEFT JOIN sizes"
        f" ON conversation = stored.key WHERE gone = {LIVE} AND owner = ?",
        (owner,),
    ).fetchone()
    return int(count), int(size)
