"""Closes sessions that have no follower and nothing to do, after a time."""

import asyncio
from collections.abc import Awaitable, Callable

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.session.agent_session import AgentSession


class IdleCloser:
    """`timeout` in seconds. `close` ends a session; the tasks that do are owned here."""

    def __init__(self, timeout: float, close: Callable[[ConversationId], Awaitable[None]]) -> None:
        self._timeout = timeout
        self._close = close
        self._timers: dict[ConversationId, tuple[AgentSession, asyncio.TimerHandle]] = {}
        self._closings: set[asyncio.Task[None]] = set()

    def watch(self, session: AgentSession) -> None:
        """Begin the session's time anew, where it is idle. Call it after each change of the session."""
        self.forget(session.sid)
        if is_idle(session):
            timer = asyncio.get_running_loop().call_later(self._timeout, self._time_is_up, session)
            self._timers[session.sid] = session, timer

    def forget(self, sid: ConversationId) -> None:
        """The session works, or has ended."""
        if (watched := self._timers.pop(sid, None)) is not None:
            watched[1].cancel()

    def longest_idle(self, counts: Callable[[ConversationId], bool] = lambda sid: True) -> ConversationId | None:
        """The session that has been idle for the longest time, of those that count; None where all work."""
        idle = (sid for sid, (session, _) in self._timers.items() if is_idle(session) and counts(sid))
        return next(idle, None)

    async def finish(self) -> None:
        """Wait for the sessions that are being closed."""
        if self._closings:
            await asyncio.wait(self._closings)

    def _time_is_up(self, session: AgentSession) -> None:
        self._timers.pop(session.sid, None)
        if is_idle(session):
            closing = asyncio.ensure_future(self._close(session.sid))
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)


def is_idle(session: AgentSession) -> bool:
    """Whether it has nothing to do and no follower; a failed session is idle without followers."""
    quiet = session.state is SessionState.READY and not session.busy
    return (quiet or session.state is SessionState.ERROR) and session.event_stream.feed.followers == 0
