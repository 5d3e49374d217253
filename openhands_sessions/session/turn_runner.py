"""Owns the task of the running turn: its start, its end, and its cancellation."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.view import ConversationView
from openhands_sessions.session.agent_controllers import AgentControllers
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.session_spans import SessionSpans


class TurnRunner:
    """At most one turn at a time. `move` is told Running and Ready; `on_done` is called when a turn's task is over."""

    def __init__(
        self,
        controller: AgentControllers,
        move: Callable[[SessionState], None],
        on_done: Callable[[], None],
        spans: SessionSpans,
        *,
        name: str,
        interrupted: bool,
    ) -> None:
        """`interrupted`: the first turn goes on where an earlier process left it."""
        self._controller = controller
        self._move = move
        self._on_done = on_done
        self._spans = spans
        self._name = name
        self._interrupted = interrupted
        self._task: asyncio.Task[None] | None = None
        self._other = False
        self._cut = False

    @property
    def running(self) -> bool:
        """Whether a turn has been started and its end has not been seen to."""
        return self._task is not None

    @property
    def at_other_work(self) -> bool:
        """Whether what runs is no turn."""
        return self._other and self._task is not None and not self._task.done()

    def start(self, stream: EventStream, cause: str | None) -> None:
        """Start the turn that the log owes. It goes on where one was cancelled that no stop has wound up, since
        that was not stored. `cause` is the `traceparent` of the request that asked for it."""
        resumed = self._interrupted or (self._cut and bool(stream.view.open_actions))
        self._interrupted = self._cut = False
        turn = self._controller.take_turn(resumed=resumed)
        self._run(self._spans.turn(turn, stream, cause, resumed=resumed), other=False)

    def start_other(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start work that is no turn, and is stopped as a turn is."""
        return self._run(work, other=True)

    async def finished(self) -> None:
        """Wait until a turn whose end is recorded is over."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _run(self, work: Coroutine[Any, Any, None], *, other: bool) -> "asyncio.Task[None]":
        self._move(SessionState.RUNNING)
        self._other = other
        self._task = asyncio.create_task(work, name=self._name)
        self._task.add_done_callback(lambda turn: self._on_done())
        return self._task

    def reap(self) -> bool:
        """Back to Ready where the turn is over; whether it is. Raises what the turn raised."""
        if self._task is None or not self._task.done():
            return False
        turn, self._task = self._task, None
        if not turn.cancelled():
            turn.result()
        self._move(SessionState.READY)
        return True

    async def cancel(self) -> None:
        """End the running turn and wait until it is gone."""
        if self.running:
            self._cut = not self._other
            await self.close()
            self._move(SessionState.READY)

    async def close(self) -> None:
        """As `cancel`, for a session that closes: its state stays. What the cancelled turn raised is dropped."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        turn, self._task = self._task, None
        if not turn.cancelled():
            turn.exception()


def turn_is_owed(view: ConversationView) -> bool:
    """Whether the agent has something to do now: what is said was not taken up, and no answer is awaited."""
    return view.owed and view.pending is None


def work_is_left(view: ConversationView) -> bool:
    """Whether a turn is owed, or a queued message is to begin one."""
    return turn_is_owed(view) or view.next_queued is not None
