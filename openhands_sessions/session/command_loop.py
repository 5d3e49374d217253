"""A session at work: queues commands, takes one after the other, and starts the turns that are owed."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from openhands_sessions.core.commands import SetModel
from openhands_sessions.core.errors import BadInput, Conflict, Fenced, NotAccepting, SessionsError
from openhands_sessions.core.history_commands import Compact, Seed
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.snapshots import SPACING
from openhands_sessions.ports.gateway import Accepted, EndReason
from openhands_sessions.ports.tracing import trace_parent
from openhands_sessions.session.command_handler import CommandHandler, SubmittedCommand
from openhands_sessions.session.compaction import STOPPED, Compaction
from openhands_sessions.session.dependencies import Dependencies
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.history_merge import HistoryMerge
from openhands_sessions.session.history_moves import HistoryMoves
from openhands_sessions.session.idempotency import earlier_answer
from openhands_sessions.session.log_folding import loading, saving
from openhands_sessions.session.model_switch import PENDING, ModelSwitch
from openhands_sessions.session.rest import rest
from openhands_sessions.session.session_spans import SessionSpans
from openhands_sessions.session.setup import Ready
from openhands_sessions.session.stop import Stopper
from openhands_sessions.session.turn_causes import TurnCauses
from openhands_sessions.session.turn_runner import TurnRunner, turn_is_owed, work_is_left

WAITING_COMMANDS = 64


@dataclass(frozen=True, slots=True)
class QueuedCommand:
    """One command. Its caller may have left."""

    given: SubmittedCommand
    answer: "asyncio.Future[Accepted]"

    def accept(self, accepted: Accepted) -> None:
        if not self.answer.done():
            self.answer.set_result(accepted)

    def refuse(self, error: SessionsError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class CommandQueue:
    """First in, first out; at most WAITING_COMMANDS."""

    def __init__(self) -> None:
        self._waiting: deque[QueuedCommand] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, given: SubmittedCommand) -> "asyncio.Future[Accepted]":
        """The future answer. Raises NotAccepting where too many wait."""
        if len(self._waiting) >= WAITING_COMMANDS:
            raise NotAccepting("too many commands wait in this session; send it again in a moment")
        answer: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._waiting.append(QueuedCommand(given, answer))
        return answer

    def take(self) -> QueuedCommand:
        return self._waiting.popleft()

    def refuse(self, error: SessionsError) -> None:
        """Refuse all that wait."""
        while self._waiting:
            self.take().refuse(error)


TURN_SPACING = 100
"""Events after which the end of a turn is worth a snapshot."""


class CommandLoop:
    """Made once the session is ready. `wakeup` is set when there may be something to do: a command, the end of a turn,
    the end of the session."""

    def __init__(
        self,
        ready: Ready,
        stream: EventStream,
        queue: CommandQueue,
        dependencies: Dependencies,
        *,
        move: Callable[[SessionState], None],
        wakeup: asyncio.Event,
        spans: SessionSpans,
    ) -> None:
        self._ready = ready
        self._stream = stream
        self._queue = queue
        self._dependencies = dependencies
        self._wakeup = wakeup
        self._snapshot_head = ready.snapshot_head
        self._stopper = Stopper(stream, ready.controller)
        self._turns = TurnRunner(
            ready.controller, move, wakeup.set, spans, name=f"turn {ready.sid}", interrupted=ready.interrupted
        )
        self._causes = TurnCauses(trace_parent.get())
        self._compaction = Compaction(stream, ready.controller)
        load = loading(dependencies.store.snapshots, ready.sid)
        merge = HistoryMerge(ready.sid, stream, dependencies.store)
        self._moves = HistoryMoves(stream, ready.controller, ready.knowledge, self._turns, load, merge=merge)
        self._switch = ModelSwitch(stream, ready.agent, self._moves)
        self._handler = CommandHandler(stream, ready.controller, ready.knowledge, self._stopper, self._moves)
        self.taking = False
        """Whether a command is just taking effect: cut off now, its caller could not be told whether it did."""

    @property
    def busy(self) -> bool:
        return self.taking or self._turns.running or work_is_left(self._stream.view)

    async def run(self, closing: Callable[[], bool]) -> None:
        """Until `closing` says so. Raises what a turn or the store raises."""
        await self._stopper.finish()
        await self._handler.reject_overdue()
        while True:
            self._wakeup.clear()
            while self._queue and not closing():
                await self._take(self._queue.take())
            if closing():
                return
            spacing = TURN_SPACING if self._turns.reap() else SPACING
            if not self._turns.running and self._stream.view.next_queued is not None:
                await self._begin_queued()
            if not self._turns.running and turn_is_owed(self._stream.view):
                self._turns.start(self._stream, self._causes.of(self._stream.turn))
            if self._stream.view.head - self._snapshot_head >= spacing:
                await self._save_snapshot()
            await self._wakeup.wait()

    async def close(self, reason: EndReason, *, failed: bool) -> None:
        """End the turn, and give the conversation back, unless a turn is to go on when the next process starts."""
        try:
            if not failed and reason in ("stopped", "deleted"):
                await self._handler.close(reason, self._turns.close)
        finally:
            await self._turns.close()
            await self._stream.quiet()
        if not failed:
            await self._save_snapshot()
            if not work_is_left(self._stream.view):
                parts = self._dependencies
                await rest(parts, self._ready.sid, self._ready.term, self._stream.view, parts.clock())

    async def _take(self, waiting: QueuedCommand) -> None:
        if isinstance(waiting.given.command, Compact | Seed):
            await self._take_compaction(waiting)
            return
        self.taking = True
        try:
            accepted = await self._accepted(waiting.given)
        except (Conflict, Fenced):
            waiting.refuse(NotAccepting("another server has taken this conversation over; send it again"))
            raise
        except SessionsError as error:
            waiting.refuse(error)
        except BaseException:
            waiting.refuse(NotAccepting("the session is closing; send it again"))
            raise
        else:
            self._causes.note(accepted.turn, waiting.given.trace)
            waiting.accept(accepted)
        finally:
            self.taking = False

    async def _accepted(self, given: SubmittedCommand) -> Accepted:
        if isinstance(given.command, SetModel):
            return await self._switch.take(given, given.command)
        return await self._handler.take(given, self._turns.cancel)

    async def _begin_queued(self) -> None:
        self.taking = True
        try:
            await self._handler.queue.begin()
        finally:
            self.taking = False

    async def _take_compaction(self, waiting: QueuedCommand) -> None:
        """Begin it where no turn runs; the command is answered at its end. Raises what the last turn raised."""
        try:
            if (before := await earlier_answer(self._stream, waiting.given.key)) is not None:
                waiting.accept(before)
                return
            await self._moves.rest()
            if self._stream.view.pending is not None:
                raise NotAccepting(PENDING)
            self._turns.reap()
        except (BadInput, NotAccepting) as error:
            waiting.refuse(error)
            return
        except BaseException:
            waiting.refuse(NotAccepting("the session is closing; send it again"))
            raise
        work = self._turns.start_other(self._compact(waiting))
        work.add_done_callback(lambda work: waiting.refuse(NotAccepting(STOPPED)))  # also where it never began

    async def _compact(self, waiting: QueuedCommand) -> None:
        try:
            waiting.accept(await self._compaction.compact(waiting.given))
        except (BadInput, NotAccepting) as error:
            waiting.refuse(error)
        except SessionsError as error:
            waiting.refuse(error)
            raise

    async def _save_snapshot(self) -> None:
        snapshot = self._stream.snapshot()
        if snapshot.head > self._snapshot_head:
            self._snapshot_head = snapshot.head
            await saving(self._dependencies.store.snapshots, self._ready.sid)(snapshot)
