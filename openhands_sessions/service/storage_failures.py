"""Which conversations wait until events can be stored again."""

import asyncio
from collections.abc import Sequence

from openhands_sessions.core.errors import StageFailed, StorageError, StorageUnavailable
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession


class StorageFailures:
    """Conversations whose sessions failed because nothing could be stored: each once, oldest first."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._waiting: dict[ConversationId, None] = {}
        self._news = asyncio.Event()

    @property
    def waiting(self) -> Sequence[ConversationId]:
        return tuple(self._waiting)

    def note(self, session: AgentSession) -> None:
        """A session has come to another state."""
        if session.state is SessionState.ERROR and self._is_the_stores(session):
            self.put(session.sid)

    async def wait(self) -> None:
        """Until there are any."""
        await self._news.wait()

    def put(self, sid: ConversationId) -> None:
        self._waiting[sid] = None
        self._news.set()

    def discard(self, sid: ConversationId) -> bool:
        """It waits no more: whether it did."""
        waited = sid in self._waiting
        self._waiting.pop(sid, None)
        if not self._waiting:
            self._news.clear()
        return waited

    def _is_the_stores(self, session: AgentSession) -> bool:
        match session.problem:
            case StageFailed(cause_name=cause):
                return cause == StorageUnavailable.__name__
            case StorageUnavailable():
                return True
            case StorageError():
                return self._store.problem is not None  # it came behind the append that was refused
            case _:
                return False
