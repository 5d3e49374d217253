"""Trajectories that are to be saved elsewhere, in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.trajectories import PendingUpload
from tests.fakes.memory_data import OpenedData


class MemoryUploads:
    """What is to be saved, beside what is kept of a conversation."""

    def __init__(self, data: OpenedData) -> None:
        self._data = data

    async def put(self, sid: ConversationId, head: EventId, at: datetime) -> None:
        kept = self._data.find(sid)
        if kept is not None and head > (kept.saved if kept.upload is None else kept.upload.head):
            kept.upload = PendingUpload(sid, head, 0, at)

    async def pending(self, limit: int) -> Sequence[PendingUpload]:
        found = [kept.upload for kept in self._data.data.conversations.values() if kept and kept.upload]
        return sorted(found, key=lambda upload: upload.at)[:limit]

    async def postpone(self, upload: PendingUpload, at: datetime) -> None:
        kept = self._data.find(upload.conversation)
        if kept is not None and kept.upload is not None and kept.upload.head == upload.head:
            kept.upload = replace(kept.upload, tries=upload.tries + 1, at=at)

    async def done(self, upload: PendingUpload) -> None:
        kept = self._data.find(upload.conversation)
        if kept is not None:
            kept.saved = max(kept.saved, upload.head)
            if kept.upload is not None and kept.upload.head <= kept.saved:
                kept.upload = None
