"""Long logs, as they lie in a database."""

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.events.codec import Stored, stored
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.ports.store import ConversationRow
from tests.support.log_builder import built_log

AT_ONCE = 500


def long_log(events: int) -> list[Stored]:
    """Of turns that have ended."""
    turns = built_log(["message", "one call", "observe", "one call", "observe", "speak"] * (events // 9))
    return [stored(event) for event in turns.events]


async def write_logs(database: Path, sids: list[str], entries: list[Stored], trigger: str = "gui") -> None:
    """Write the same log for each of these conversations, without a snapshot. Those of the trigger PROGRAM are sessions
    of programs."""
    moment = datetime.now(UTC)
    async with open_sqlite(database) as store:
        for sid in map(ConversationId, sids):
            row = ConversationRow(id=sid, owner=LOCAL_OWNER, created_at=moment, updated_at=moment, trigger=trigger)
            await store.conversations.create(row)
            left, head = iter(entries), -1
            while batch := list(islice(left, AT_ONCE)):
                await store.log(sid).append(batch, expected=head, term=0)
                head = batch[-1].id
