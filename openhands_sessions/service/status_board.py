"""What operators watch: every session's state, and each change of it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from openhands_sessions.core.events.event import AgentState
from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from openhands_sessions.core.lifecycle import SessionState

KEPT_CHANGES = 4_096
BATCH = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionStatus:
    """One session as operators see it. `number` rises with every change of any session."""

    number: int
    conversation_id: ConversationId
    owner: OwnerId
    state: SessionState
    agent_state: AgentState
    head: EventId
    followers: int
    cost: float
    at: datetime
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """All sessions as of change `number`: first, and again for a watcher that fell too far behind."""

    number: int
    sessions: Sequence[SessionStatus]


class StatusBoard:
    """Keeps the newest status of each live session and the last KEPT_CHANGES changes: a watcher costs a cursor."""

    def __init__(self) -> None:
        self._sessions: dict[ConversationId, SessionStatus] = {}
        self._changes: deque[SessionStatus] = deque(maxlen=KEPT_CHANGES)
        self._number = 0
        self._ended = False
        self._news = asyncio.Event()

    @property
    def next_number(self) -> int:
        return self._number + 1

    @property
    def sessions(self) -> Mapping[ConversationId, SessionStatus]:
        return self._sessions

    def publish(self, status: SessionStatus) -> None:
        """Take in a change; its number must be `next_number`."""
        self._number = status.number
        self._changes.append(status)
        if status.state is SessionState.CLOSED:
            self._sessions.pop(status.conversation_id, None)
        else:
            self._sessions[status.conversation_id] = status
        self._wake()

    def end(self) -> None:
        """Let every watcher finish what there is."""
        self._ended = True
        self._wake()

    def overview(self) -> Overview:
        return Overview(self._number, tuple(self._sessions.values()))

    async def watch(self) -> AsyncIterator[Overview | Sequence[SessionStatus]]:
        """An overview, then every change behind it, in order, in batches; until the board ends."""
        overview = self.overview()
        cursor = overview.number
        yield overview
        while True:
            news = self._news
            if self._changes and self._changes[0].number > cursor + 1:
                overview = self.overview()
                cursor = overview.number
                yield overview
            elif self._number > cursor:
                missing = min(self._number - cursor, len(self._changes))
                batch = [self._changes[place] for place in range(-missing, 0)][:BATCH]
                cursor = batch[-1].number
                yield batch
            elif self._ended:
                return
            else:
                await news.wait()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
