"""Rejects the calls whose answers do not come in time: one timer for all conversations, live or not."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from openhands_sessions.core.commands import RejectOverdue
from openhands_sessions.core.errors import NotAccepting, SessionsError, StorageUnavailable
from openhands_sessions.core.ids import UNNUMBERED, ConversationId
from openhands_sessions.ports.store import ConversationRow, SessionStore
from openhands_sessions.session.agent_session import AgentSession

log = structlog.get_logger(__name__)

AGAIN = timedelta(seconds=30)
"""After which a conversation is tried again whose session could not be opened."""
AT_ONCE = 100
"""Conversations that are looked up at once."""
PAUSE = 1.0
"""Seconds before the store is asked again after it has refused."""
LONGEST = 3600.0
"""Seconds of one wait: the clock of the day may be set meanwhile."""


class ApprovalDeadlines:
    """Of one process. `clock` is the time of day, UTC."""

    def __init__(self, store: SessionStore, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[ConversationId, datetime] = {}
        """Of conversations whose sessions are live, or could not give their lease back."""
        self._again: dict[ConversationId, datetime] = {}
        """When those are tried next that failed."""
        self._changed = asyncio.Event()

    def note(self, session: AgentSession) -> None:
        """Learn a session's deadline. Call it after each change of the session."""
        view = session.event_stream.view
        if view.head == UNNUMBERED:
            return  # its log is not read yet
        approval = view.approval
        deadline = None if approval is None or not approval.open else approval.deadline
        if deadline is None:
            self._known.pop(session.sid, None)
        elif self._known.get(session.sid) != deadline:
            self._known[session.sid] = deadline
            self.look()

    def look(self) -> None:
        """Look again now: a deadline is new, or the clock was set."""
        self._changed.set()

    async def run(self, open: Callable[[ConversationRow], Awaitable[AgentSession]]) -> None:
        """Until cancelled. `open` gives a conversation's session."""
        while True:
            self._changed.clear()
            try:
                planned = await self._planned()
            except StorageUnavailable:
                await self._store.until_it_works()
                await asyncio.sleep(PAUSE)  # it works for writers, perhaps
                continue
            now = self._clock()
            overdue = [sid for sid, moment in planned.items() if moment <= now]
            for sid in overdue:
                if await self._rejected(sid, open):
                    self._known.pop(sid, None)
                else:
                    self._again[sid] = self._clock() + AGAIN
            if not overdue:  # otherwise there may be more than were looked up
                await self._wait(min(planned.values(), default=None))

    async def _planned(self) -> dict[ConversationId, datetime]:
        """When each is to be looked after, of the stored ones those that are due first."""
        planned = {**dict(await self._store.approvals_due(AT_ONCE)), **self._known}
        self._again = {sid: moment for sid, moment in self._again.items() if sid in planned}
        return {sid: max(moment, self._again.get(sid, moment)) for sid, moment in planned.items()}

    async def _wait(self, moment: datetime | None) -> None:
        if moment is None:
            await self._changed.wait()
            return
        seconds = (moment - self._clock()).total_seconds()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(max(seconds, 0.0), LONGEST)):
                await self._changed.wait()

    async def _rejected(self, sid: ConversationId, open: Callable[[ConversationRow], Awaitable[AgentSession]]) -> bool:
        """Whether nothing is due any more; False to try again."""
        try:
            row = await self._store.conversations.get(sid)
            if row is None:
                return True
            log.info("calls were not answered in time", conversation_id=sid, owner=row.owner)
            session = await open(row)
            with suppress(NotAccepting):  # decided meanwhile, or rejected when the session was set up
                await session.submit(RejectOverdue())
        except SessionsError as error:
            log.warning("overdue calls could not be rejected yet", conversation_id=sid, problem=error.message)
            return False
        approval = session.event_stream.view.approval
        return approval is None or not approval.due(self._clock())
