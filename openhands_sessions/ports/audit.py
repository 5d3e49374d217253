"""Who did what to which conversation, for whoever answers for the server."""

from datetime import datetime
from typing import Protocol

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, OwnerId


class AuditLog(Protocol):
    """Keeps a record of what callers do."""

    def record(self, at: datetime, caller: OwnerId, action: str, conversation: ConversationId, **details: Json) -> None:
        """One thing that was done, at an aware time; written soon, in the order of the calls. Never raises and never
        waits: what it cannot keep up with is counted, and the count is a record of its own."""
