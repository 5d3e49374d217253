"""Entries and rows to fill a store with, and how to read them back."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId, OwnerId
from openhands_sessions.ports.store import ConversationRow, EventLog, SessionStore

NOW = datetime(2025, 1, 31, 12, 30, 1, 234567, tzinfo=UTC)
TALK, OTHER, UNKNOWN = ConversationId("talk"), ConversationId("other"), ConversationId("unknown")


TTL = 30.0
OpenStore = Callable[[], AbstractAsyncContextManager[SessionStore]]


class TestClock:
    """Goes only when it is told to."""

    __test__ = False

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def entries(start: int, stop: int, said: str = "talk") -> list[Stored]:
    """Entries `start` up to but not with `stop`; each text names its id."""
    return [
        Stored(EventId(id), "action:message" if id % 2 else "observation:run", 1, f'{{"id":{id},"said":"{said}"}}')
        for id in range(start, stop)
    ]


def row(sid: ConversationId, owner: OwnerId = LOCAL_OWNER) -> ConversationRow:
    return ConversationRow(id=sid, owner=owner, created_at=NOW, updated_at=NOW)


async def read(log: EventLog, **asked: int) -> list[Stored]:
    batches = log.read(
        asked.get("after", -1), before=asked.get("before"), reverse=bool(asked.get("reverse")), limit=asked.get("limit")
    )
    return [entry async for batch in batches for entry in batch]


def ids(found: Sequence[Stored]) -> list[int]:
    return [entry.id for entry in found]
