"""One conversation of a person or a pipe, through the ports of its owner."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

from openhands_sessions.cli import slash_commands
from openhands_sessions.cli.chat_target import ChatTarget
from openhands_sessions.cli.event_lines import EventLines
from openhands_sessions.cli.keyboard import Keyboard
from openhands_sessions.cli.output import silence
from openhands_sessions.cli.progress import ConversationUsage, Progress, Sent
from openhands_sessions.cli.screen import Screen
from openhands_sessions.cli.slash_commands import SlashCommand, SlashCommands
from openhands_sessions.cli.transcript import Transcript
from openhands_sessions.core.commands import Answer, Command, SendMessage, Stop
from openhands_sessions.core.errors import SessionsError, Unreachable
from openhands_sessions.core.events.actions import RunAction
from openhands_sessions.core.events.codec import Stored, decode
from openhands_sessions.core.events.event import AgentState, Event
from openhands_sessions.core.events.own import TurnEndedObservation
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.gateway import Delta, FeedItem, SessionClosed, SessionEnded, SessionInfo, Status

RECENT = 100
"""Earlier events that are shown again."""
PROMPT = "> "
QUESTION = "Do it? [y/n, or say why not] "
YES, NO = ("y", "yes"), ("n", "no")
SHOWN_STATUSES = {"STATUS$LLM_RETRY", "STATUS$NO_PROGRESS", "STATUS$RECONNECTING", "STATUS$RECONNECTED"}
ENDS = {"stopped": "The conversation was stopped.", "deleted": "The conversation was deleted."}
INTERRUPTED = 128 + signal.SIGINT
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Conversation:
    """`typing` means a person at a terminal: with prompts, commands of the chat and what was said before. Otherwise the
    input is sent, and the end of the input is the end."""

    def __init__(
        self,
        target: ChatTarget,
        keyboard: Keyboard,
        screen: Screen,
        transcript: Transcript | EventLines,
        *,
        typing: bool,
    ) -> None:
        self._target = target
        self._gateway = target.gateway
        self._sid = target.sid
        self._keyboard = keyboard
        self._screen = screen
        self._transcript = transcript
        self._typing = typing
        self._commands = SlashCommands(target, screen, self._stop_turn)
        self._head = -1
        self._progress = Progress()
        self._counted: ConversationUsage | None = ConversationUsage()
        self._joined: SessionInfo | None = None
        self._opened, self._followed = asyncio.Event(), asyncio.Event()
        self._moved = asyncio.Condition()
        self._sent: Sent | None = None
        self._well = True
        self._signals: asyncio.Queue[int] = asyncio.Queue(8)
        self._hinted = False

    async def run(self) -> int:
        """Until the input ends, the user leaves or the session does. Gives the exit code: 1 where a turn went wrong.
        Raises SessionsError."""
        async with self._screen.alive():
            with self._catching_signals():
                try:
                    return await first(self._handle_signals(), self._follow(), self._type())
                finally:
                    self._screen.finish_line()

    async def _open(self) -> None:
        """Make or join the conversation, and follow it."""
        if self._joined is None:
            info = self._joined = await self._target.open()
            self._screen.note(f"Conversation {info.id}")
            self._head = -1 if self._target.is_new else info.head
            begin = max(-1, self._head - RECENT)
            self._progress = Progress(head=begin, state=info.agent_state or AgentState.LOADING)
            if begin >= 0:
                self._counted = None
                if self._typing:
                    self._screen.line("(earlier events are left out)", "dim")
            self._opened.set()
        await self._followed.wait()

    async def _follow(self) -> int:
        await self._opened.wait()
        async with self._gateway.follow(self._sid, self._progress.head) as items:
            self._followed.set()
            await self._show_all(items)
        self._screen.busy(None)
        return 1

    async def _show_all(self, items: AsyncIterator[FeedItem]) -> None:
        try:
            async for item in items:
                match item:
                    case Delta():
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
                self._tell(ENDS[end.reason], "yellow")

    async def _show(self, entries: Sequence[Stored]) -> None:
        for entry in entries:
            event = decode(entry.text, entry.schema)
            if self._typing or event.id > self._head:
                self._transcript.show(entry, event)
            self._progress = self._progress.after(event)
            self._count(event)
            label = "running" if isinstance(event, RunAction) else "working"
            self._screen.busy(label if self._progress.working else None)
        async with self._moved:
            self._moved.notify_all()

    def _count(self, event: Event) -> None:
        """Tell what a turn has used when it ends; not where it began before the first event that is shown."""
        usage = self._target.usage = self._target.usage.after(event)
        if isinstance(event, TurnEndedObservation):
            if self._counted is not None and (used := usage.since(self._counted)):
                self._screen.detail(used)
            self._counted = usage if self._counted is not None or usage != ConversationUsage() else None

    def _show_status(self, status: Status) -> None:
        if status.level == "error":
            self._transcript.problem(status.message)
        elif status.id in SHOWN_STATUSES:
            self._tell(f"({status.message})", "dim")

    def _tell(self, text: str, style: str) -> None:
        """What is no part of an answer: a program that reads one is not given it."""
        if self._typing:
            self._screen.line(text, style)
        else:
            self._screen.note(text)

    def _ask(self) -> None:
        """Show the prompt where it is the user's turn."""
        waiting = self._sent is not None and not self._sent.over(self._progress)
        if self._joined is not None and (waiting or self._progress.working or self._progress.head < self._head):
            self._screen.prompt(None)
            return
        self._screen.busy(None)
        self._screen.prompt(PROMPT if self._progress.pending is None else QUESTION)

    async def _type(self) -> int:
        if not self._target.is_new:
            await self._open()
            await self._until(lambda progress: self._typing or progress.head >= self._head)
        self._ask()
        async with aclosing(self._keyboard.messages()) as messages:
            async for text in messages:
                if text.strip():
                    self._hinted = False
                    if self._typing:
                        self._screen.entered(text)
                    await self._take(text)
                self._ask()
        if not self._typing and self._progress.pending is not None:
            answer = f"{self._target.call} --conversation {self._sid} -m y"
            raise SessionsError(f"the agent waits for an answer; give it with: {answer} (or n, or say why not)")
        return 0 if self._typing or self._well else 1

    async def _take(self, text: str) -> None:
        """Do what was typed; without a person, wait for the end of the turn."""
        asked = slash_commands.read(text) if self._typing else text
        if isinstance(asked, str):
            await self._open()
        try:
            if isinstance(asked, SlashCommand):
                await self._commands.run(asked)
                return
            command = self._command(asked)
            if isinstance(command, SendMessage):
                self._transcript.typed(command.content)
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
            accepted = await self._target.submit(command)
        finally:
            self._screen.busy(None)
        sent = self._sent = Sent(command, accepted.id)
        if not sent.over(self._progress):
            self._screen.busy("working")
        return sent

    async def _handle_signals(self) -> int:
        """Ctrl-C stops the turn. While it stops, and without a turn, a second one leaves."""
        while True:
            number = await self._signals.get()
            if number != signal.SIGINT:
                return 128 + number
            if self._working:
                self._screen.line("Stopping; Ctrl-C again leaves.", "yellow")
                if left := await first(self._stop(), self._leave()):
                    return left
            elif self._hinted or not self._typing:
                return 0 if self._typing else INTERRUPTED
            elif not self._keyboard.clear():
                self._hinted = True
                self._screen.line("Ctrl-C again or Ctrl-D leaves.", "dim")
            self._ask()

    @property
    def _working(self) -> bool:
        return (self._joined is not None and self._progress.working) or self._screen.is_busy

    async def _stop_turn(self) -> bool:
        if self._working:
            await self._stop()
            return True
        return False

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
        caught = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores one
        for number in caught:
            loop.add_signal_handler(number, self._caught, number)
        try:
            yield
        finally:
            for number in caught:
                loop.remove_signal_handler(number)

    def _caught(self, number: int) -> None:
        if number == signal.SIGHUP:
            silence()
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
