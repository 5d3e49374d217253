"""How far users have read, in memory."""

from collections.abc import Mapping, Sequence

from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from tests.fakes.memory_data import OpenedData


class MemoryReadMarks:
    """Marks in a dict, by their users."""

    def __init__(self, data: OpenedData) -> None:
        self._data = data

    async def marks(self, user: OwnerId, sids: Sequence[ConversationId]) -> Mapping[ConversationId, EventId]:
        found = {sid: self._data.find(sid) for sid in sids}
        return {sid: kept.read_marks[user] for sid, kept in found.items() if kept and user in kept.read_marks}

    async def raise_to(self, user: OwnerId, sid: ConversationId, event: EventId) -> EventId:
        marks = self._data.get(sid).read_marks
        if event > marks.get(user, -1):
            marks[user] = event
        return marks.get(user, EventId(-1))
