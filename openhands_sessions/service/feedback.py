"""What users think of a conversation: kept with their own files, sent nowhere."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime

from openhands_sessions.core.events.codec import timestamp_text
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.ports.files import FileStore
from openhands_sessions.service.settings import user_file


class FeedbackStore:
    """One file for each."""

    def __init__(self, files: FileStore, clock: Callable[[], datetime], new_id: Callable[[], str]) -> None:
        self._files = files
        self._clock = clock
        self._new_id = new_id

    async def put(self, owner: OwnerId, sid: ConversationId, given: Mapping[str, Json]) -> tuple[dict[str, Json], str]:
        """What was stored: `given`, of which conversation, and when; its own id. Raises StorageUnavailable."""
        stored = {**given, "conversation_id": sid, "timestamp": timestamp_text(self._clock())}
        made = self._new_id()
        await self._files.write(user_file(owner, f"feedback/{made}"), json.dumps(stored).encode())
        return stored, made
