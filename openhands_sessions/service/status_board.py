"""What operators watch: every session's state, and each change of it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.operations import Overview, SessionStatus

KEPT_CHANGES = 4_096
BATCH = 256


class StatusBoard:
    """Keeps the newest status of each live session and the last KEPT_CHANGES changes: a watcher costs a cursor."""

    def __init__(self) -> None:
        self._sessions: dict[ConversationId, SessionStatus] = {}
        self._changes: deque[SessionStatus] = deque(maxlen=KEPT_CHANGES)
        self._number = 0
        self._renewals = 0
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

    def renew(self) -> None:
        """Let every watcher have an overview next."""
        self._renewals += 1
        self._wake()

    def end(self) -> None:
        """Let every watcher finish what there is."""
        self._ended = True
        self._wake()

    def overview(self) -> Overview:
        return Overview(self._number, tuple(self._sessions.values()))

    async def watch(self) -> AsyncIterator[Overview | Sequence[SessionStatus]]:
        """An overview, then every change behind it, in order, in batches, and an overview at each renewal; until the
        board ends."""
        cursor: int | None = None
        renewals = 0
        while True:
            news = self._news
            oldest = self._changes[0].number if self._changes else 0
            renewed = renewals != self._renewals and self._number == cursor
            if cursor is None or oldest > cursor + 1 or renewed:
                overview = self.overview()
                cursor, renewals = overview.number, self._renewals
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
