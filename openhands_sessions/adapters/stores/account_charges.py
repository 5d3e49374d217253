"""Adds what calls have used to their users' accounts, in the transaction that stores their records."""

import sqlite3
from collections.abc import Sequence
from dataclasses import fields

from openhands_sessions.adapters.stores.checksums import account_checksum
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.accounts import AccountEntry, Charge

FIGURES = tuple(field.name for field in fields(AccountEntry) if field.name not in ("day", "model", "purpose"))
_COLUMNS = ("user", "day", "model", "purpose", *FIGURES, "checksum")
_READ = f"SELECT {', '.join(FIGURES)}, checksum FROM accounts WHERE user = ? AND day = ? AND model = ? AND purpose = ?"
_WRITE = f"INSERT OR REPLACE INTO accounts VALUES ({', '.join('?' * len(_COLUMNS))})"
_MOST = 2**62


def add_charges(connection: sqlite3.Connection, charges: Sequence[tuple[ConversationId, Charge]]) -> None:
    """Add each charge, with the conversation that it comes from. A damaged row stays as it is, for a backup to mend."""
    for sid, charge in charges:
        entry = charge.entry
        key = (charge.user, entry.day.isoformat(), entry.model, entry.purpose)
        row = connection.execute(_READ, key).fetchone()
        *before, checksum = row or (*(0 for _ in FIGURES), None)
        if row is None or checksum == account_checksum((*key, *before)):
            figures = (old + getattr(entry, name) for old, name in zip(before, FIGURES, strict=True))
            values = (*key, *(min(figure, _MOST) for figure in figures))
            connection.execute(_WRITE, (*values, account_checksum(values)))
        if charge.counts:
            connection.execute("INSERT OR IGNORE INTO account_conversations VALUES (?, ?, ?, ?)", (*key[:3], sid))
