"""What stands in a reading of a log in place of events that are damaged on the disk."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from openhands_sessions.core.errors import DamagedRecord
from openhands_sessions.core.events.codec import Stored, stored
from openhands_sessions.core.events.observations import DAMAGED_ID, ErrorObservation
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.store import EventLog


@dataclass(frozen=True, slots=True)
class Placeholder(Stored):
    """An `error` that says which events are missing; it has the id of the last of them in the order of the reading."""


async def readable(
    log: EventLog, after: int = -1, *, before: int | None = None, reverse: bool = False, limit: int | None = None
) -> AsyncIterator[Sequence[Stored]]:
    """As `EventLog.read`, for those who show a log: it goes on behind damaged events, with one placeholder for each
    stretch of them. What folds a log or thinks about it must not use this."""
    while limit is None or limit > 0:
        try:
            async for batch in log.read(after, before=before, reverse=reverse, limit=limit):
                yield batch
                after, before = (after, batch[-1].id) if reverse else (batch[-1].id, before)
                limit = None if limit is None else limit - len(batch)
            return
        except DamagedRecord as error:
            if error.first is None or error.last is None:
                raise
            place = error.first if reverse else error.last
            yield [_placeholder(place, error)]
            after, before = (after, place) if reverse else (place, before)
            limit = None if limit is None else limit - 1


def _placeholder(place: int, error: DamagedRecord) -> Placeholder:
    event = ErrorObservation(id=EventId(place), content=error.message, error_id=DAMAGED_ID)
    entry = stored(event)
    return Placeholder(entry.id, entry.kind, entry.schema, entry.text)
