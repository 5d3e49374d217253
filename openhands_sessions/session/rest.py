"""The end of the work on a conversation: its lease goes back to the store."""

from datetime import datetime

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.view import ConversationView
from openhands_sessions.session.dependencies import Dependencies


async def rest(
    parts: Dependencies, sid: ConversationId, term: int, view: ConversationView, at: datetime
) -> datetime | None:
    """Give back the lease of a conversation in which nothing is left to do; when its open approval is due, None where
    none is. Raises StorageError."""
    due = None if view.approval is None or not view.approval.open else view.approval.deadline
    if parts.owe is not None:
        await parts.owe(sid, view.head)  # before: a process that ends in between is followed by one that does both
    await parts.store.release(sid, term, at, approval_due=due)
    return due
