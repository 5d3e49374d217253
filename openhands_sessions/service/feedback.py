"""What users think of a conversation: kept with their own files, sent to nobody."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime

from openhands_sessions.core.events.codec import timestamp_text
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, OwnerId, folder_name
from openhands_sessions.ports.files import FileStore


class FeedbackStore:
    """One file for each."""

    def __init__(self, files: FileStore, clock: Callable[[], datetime], new_id: Callable[[], str]) -> None:
        self._files = files
        self._clock = clock
        self._new_id = new_id

    async def put(self, owner: OwnerId, sid: ConversationId, given: Mapping[str, Json]) -> dict[str, Json]:
        """What was stored: `given`, of which conversation, and when. Raises StorageUnavailable."""
        stored = {**given, "conversation_id": sid, "timestamp": timestamp_text(self._clock())}
        key = f"users/{folder_name(ConversationId(owner))}/feedback/{self._new_id()}.json"
        await self._files.write(key, json.dumps(stored).encode())
        return stored
