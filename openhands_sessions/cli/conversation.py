"""One conversation on a terminal or over pipes, through the Gateway port."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from openhands_sessions.cli.terminal import Keyboard, Screen
from openhands_sessions.cli.transcript import Transcript
from openhands_sessions.core.commands import Answer, Command, SendMessage, Stop
from openhands_sessions.core.errors import SessionsError, Unreachable
from openhands_sessions.core.events.actions import RunAction
from openhands_sessions.core.events.codec import Stored, decode
from openhands_sessions.core.events.event import Action, AgentState, ConfirmationState, Event
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import StopReason, TurnEndedObservation
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.gateway import Delta, FeedItem, Gateway, SessionClosed, SessionEnded, SessionInfo, Status

RECENT = 100
"""Earlier events that are shown again."""
PROMPT = "> "
QUESTION = "Do it? [y/n, or say why not] "
YES, NO = ("y", "yes"), ("n", "no")
SHOWN_STATUSES = {"STATUS$LLM_RETRY", "STATUS$RECONNECTING", "STATUS$RECONNECTED"}
ENDS = {"stopped": "The conversation was stopped.", "deleted": "The conversation was deleted."}
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
WORKING = frozenset({AgentState.LOADING, AgentState.RUNNING, AgentState.USER_CONFIRMED, AgentState.USER_REJECTED})
GOOD_ENDS = frozenset({StopReason.DONE, StopReason.WAITING})


@dataclass(frozen=True, slots=True)
class Progress:
    """Whether it is the user's turn, folded from events. `seen` is the newest event that an ended turn included."""

    head: int = -1
    state: AgentState = AgentState.LOADING
    state_id: int = -1
    pending: int | None = None
    seen: int = -1
    ended: int = -1
    reason: StopReason | None = None

    @property
    def working(self) -> bool:
        return self.state in WORKING

    def after(self, event: Event) -> "Progress":
        """The progress after one more event."""
        now = replace(self, head=event.id)
        match event:
            case AgentStateChangedObservation(agent_state=state):
                asks = state is AgentState.AWAITING_USER_CONFIRMATION
                return replace(now, state=state, state_id=event.id, pending=now.pending if asks else None)
            case TurnEndedObservation(seen=seen, stop_reason=reason):
                return replace(now, seen=max(seen, self.seen), ended=event.id, reason=reason)
            case Action() if getattr(event, "confirmation_state", None) is ConfirmationState.AWAITING:
                return replace(now, pending=event.id)
            case _:
                return now


@dataclass(frozen=True, slots=True)
class Sent:
    """A command that was accepted as event `id`."""

    command: Command
    id: int

    def over(self, progress: Progress) -> bool:
        """Whether the turn that it started has ended."""
        failed = progress.state is AgentState.ERROR and progress.state_id > self.id
        match self.command:
            case SendMessage():
                return (progress.seen >= self.id and not progress.working) or failed
            case Answer():
                return (progress.ended > self.id and not progress.working) or failed
            case _:
                return progress.head >= self.id and not progress.working

    def well(self, progress: Progress) -> bool:
        """Whether the turn, which is over, ended well."""
        return progress.reason in GOOD_ENDS and progress.state is not AgentState.ERROR


class Conversation:
    """`typing` means input from a terminal: with prompts, and without waiting between lines."""

    def __init__(
        self, gateway: Gateway, info: SessionInfo, screen: Screen, keyboard: Keyboard, *, typing: bool
    ) -> None:
        self._gateway = gateway
        self._sid = info.id
        self._screen = screen
        self._transcript = Transcript(screen)
        self._keyboard = keyboard
        self._typing = typing
        self._head = info.head
        self._progress = Progress(head=max(-1, info.head - RECENT), state=info.agent_state or AgentState.LOADING)
        self._moved = asyncio.Condition()
        self._sent: Sent | None = None
        self._well = True
        self._signals: asyncio.Queue[int] = asyncio.Queue(8)
        self._hinted = False

    async def run(self) -> int:
        """Until the input ends, the user leaves or the session does. Gives the exit code: 1 where a turn went wrong.
        Raises SessionsError."""
        if self._progress.head >= 0:
            self._screen.line("(earlier events are left out)", "dim")
        async with self._gateway.follow(self._sid, self._progress.head) as items, self._screen.alive():
            with self._catching_signals():
                try:
                    return await first(self._follow(items), self._type(), self._handle_signals())
                finally:
                    self._screen.finish_line()

    async def _follow(self, items: AsyncIterator[FeedItem]) -> int:
        try:
            async for item in items:
                match item:
                    case Delta():
                        self._screen.busy(None)
                        self._transcript.delta(item)
                    case Status():
                        self._show_status(item)
                    case SessionClosed():
                        break
                    case entries:
                        await self._show(entries)
                self._ask()
        except SessionEnded as end:
            if end.reason in ENDS:
                self._screen.busy(None)
                self._screen.line(ENDS[end.reason], "yellow")
        self._screen.busy(None)
        return 1

    async def _show(self, entries: Sequence[Stored]) -> None:
        for entry in entries:
            event = decode(entry.text, entry.schema)
            self._transcript.event(event)
            self._progress = self._progress.after(event)
            label = "running" if isinstance(event, RunAction) else "working"
            self._screen.busy(label if self._progress.working else None)
        async with self._moved:
            self._moved.notify_all()

    def _show_status(self, status: Status) -> None:
        if status.level == "error":
            self._transcript.problem(status.message)
        elif status.id in SHOWN_STATUSES:
            self._screen.line(f"({status.message})", "dim")

    def _ask(self) -> None:
        """Show the prompt where it is the user's turn."""
        waiting = self._sent is not None and not self._sent.over(self._progress)
        if waiting or self._progress.working or self._progress.head < self._head:
            return
        self._screen.busy(None)
        if self._typing:
            self._screen.prompt(PROMPT if self._progress.pending is None else QUESTION)

    async def _type(self) -> int:
        if not self._typing:
            await self._until(lambda progress: progress.head >= self._head)
        async for line in self._keyboard.lines():
            self._screen.entered()
            self._hinted = False
            if line.strip():
                await self._take(line)
            self._ask()
        if not self._typing and self._progress.pending is not None:
            raise SessionsError("the agent waits for an answer, and the input has ended")
        return 0 if self._typing or self._well else 1

    async def _take(self, line: str) -> None:
        """Send a line to the session; with input from a pipe, wait for the end of its turn."""
        command = self._command(line)
        if self._typing and isinstance(command, SendMessage):
            self._transcript.typed(command.content)
        try:
            sent = await self._submit(command)
        except Unreachable:
            raise
        except SessionsError as error:
            self._well = False
            self._transcript.problem(error.message)
            return
        if not self._typing:
            await self._until(sent.over)
            self._well = self._well and sent.well(self._progress)

    def _command(self, line: str) -> Command:
        pending = self._progress.pending
        word = line.strip().lower()
        if pending is not None and word in (*YES, *NO):
            return Answer(confirmed=word in YES, action=EventId(pending))
        return SendMessage(content=line)

    async def _submit(self, command: Command) -> Sent:
        self._screen.busy("sending")
        try:
            accepted = await self._gateway.submit(self._sid, command)
        finally:
            self._screen.busy(None)
        sent = self._sent = Sent(command, accepted.id)
        if not sent.over(self._progress):
            self._screen.busy("working")
        return sent

    async def _handle_signals(self) -> int:
        """Ctrl-C stops the turn. While it stops, and without a turn, a second one leaves."""
        while True:
            if await self._signals.get() == signal.SIGTERM:
                return TERMINATED
            if self._progress.working or self._screen.is_busy:
                self._screen.line("Stopping; Ctrl-C again leaves.", "yellow")
                if left := await first(self._stop(), self._leave()):
                    return left
            elif self._hinted or not self._typing:
                return 0 if self._typing else INTERRUPTED
            else:
                self._hinted = True
                self._screen.entered()
                self._screen.line("\nCtrl-C again or Ctrl-D leaves.", "dim")
            self._ask()

    async def _stop(self) -> int:
        try:
            sent = await self._submit(Stop())
        except Unreachable:
            raise
        except SessionsError as error:
            self._transcript.problem(error.message)
        else:
            await self._until(sent.over)
        self._well = False
        return 0

    async def _leave(self) -> int:
        return 128 + await self._signals.get()

    async def _until(self, reached: Callable[[Progress], bool]) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: reached(self._progress))

    @contextmanager
    def _catching_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._caught, number)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _caught(self, number: int) -> None:
        if not self._signals.full():
            self._signals.put_nowait(number)


async def first(*works: Coroutine[Any, Any, int]) -> int:
    """The result of the first to end; the others are cancelled and awaited."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return ended[0].result()
