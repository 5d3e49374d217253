"""One conversation's engine: its life, its commands, its turns."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

import structlog
from structlog.contextvars import bound_contextvars

from openhands_sessions.core.commands import Command
from openhands_sessions.core.errors import (
    Conflict,
    Fenced,
    NotAccepting,
    OwnedElsewhere,
    SessionsError,
    StageFailed,
    StorageError,
)
from openhands_sessions.core.events.event import AgentState, Event
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.ids import UNNUMBERED, ConversationId
from openhands_sessions.core.lifecycle import SET_UP, Lifecycle, SessionState
from openhands_sessions.core.masking import SecretMasker, without_paths
from openhands_sessions.core.settings import SessionSettings, secrets
from openhands_sessions.core.snapshots import SPACING
from openhands_sessions.ports.agent import Agent
from openhands_sessions.ports.gateway import Accepted, EndReason, Status
from openhands_sessions.ports.runtime import Runtime
from openhands_sessions.session.agent_controller import AgentController
from openhands_sessions.session.command_handler import CommandHandler, IdempotencyKey, ended
from openhands_sessions.session.command_queue import CommandQueue, QueuedCommand
from openhands_sessions.session.event_stream import EventStream, saving
from openhands_sessions.session.failure import record_failure, record_stop
from openhands_sessions.session.setup import STAGES, Dependencies, InitialInput, SetupContext, SetupStage

log = structlog.get_logger(__name__)

CLOSE_GRACE = 3.0
"""Seconds that each step of closing may take before it is cut off: the command that is just being taken, the turn, and
what set-up opened."""


class AgentSession:
    """Wires runtime, memory, controller and event stream together. `run` is its whole life."""

    def __init__(
        self,
        sid: ConversationId,
        settings: SessionSettings,
        parts: Dependencies,
        *,
        opening: InitialInput | None = None,
        on_change: Callable[["AgentSession"], None] = lambda session: None,
        stages: Mapping[SessionState, SetupStage] = STAGES,
    ) -> None:
        self.sid = sid
        self.settings = settings
        self.event_stream = EventStream(parts.store.log(sid), parts.clock, SecretMasker(secrets(settings)))
        self.memory = parts.memory
        self.llm_registry = parts.agents
        self.problem: SessionsError | None = None
        """Why the session cannot go on, for users."""
        self._parts = parts
        self._opening = opening or InitialInput()
        self._on_change = on_change
        self._stages = stages
        self._lifecycle = Lifecycle()
        self._workshop: SetupContext | None = None
        self._desk: CommandHandler | None = None
        self._inbox = CommandQueue()
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._closed = asyncio.Event()
        self._turn: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._interruptible = False
        self._taking = False
        self._cut_off: asyncio.TimerHandle | None = None
        self._reason: EndReason | None = None
        self._snapshot_head = UNNUMBERED
        self.event_stream.listen(self._heard)

    @property
    def state(self) -> SessionState:
        return self._lifecycle.state

    @property
    def controller(self) -> AgentController | None:
        """Takes the turns; None until ControllerSetup has made it."""
        return None if self._workshop is None else self._workshop.controller

    @property
    def runtime(self) -> Runtime | None:
        """The sandbox; None until RuntimeSetup has opened it."""
        return None if self._workshop is None else self._workshop.runtime

    @property
    def agent(self) -> Agent | None:
        """Who decides; None until AgentSetup has opened it."""
        return None if self._workshop is None else self._workshop.agent

    @property
    def busy(self) -> bool:
        """Whether a turn runs or must, or a command waits: such a session is not closed for being idle."""
        return bool(self._inbox) or self._taking or self._turn is not None or self._has_turn_to_take()

    @property
    def accepting(self) -> bool:
        """Whether it takes commands: not once it has failed or is to close."""
        return self._reason is None and self.state not in (SessionState.ERROR, SessionState.CLOSED)

    async def settled(self) -> None:
        """Wait until set-up has ended, well or not."""
        await self._settled.wait()

    async def submit(self, command: Command, keyed: IdempotencyKey | None = None) -> Accepted:
        """Hand a command over; durable when it returns. Commands take effect in the order of their calls. A caller that
        is cancelled takes nothing back. Raises NotAccepting, BadInput, StorageError."""
        if not self.accepting:
            raise self._refusal()
        answer = self._inbox.put(command, keyed)
        self._wake.set()
        return await answer

    async def close(self, reason: EndReason) -> None:
        """Reach Closed from any state; the first reason counts. Returns when nothing of the session is left."""
        if self._reason is None:
            self._reason = reason
            self._wake.set()
            if self._taking:
                # Cut off now, nobody could say whether the command took effect.
                self._cut_off = asyncio.get_running_loop().call_later(CLOSE_GRACE, self._interrupt)
            else:
                self._interrupt()
        if self._task is None:
            self._finish()
        await self._closed.wait()

    async def run(self) -> None:
        """The life. Never raises, but for a cancel from outside, and then it is closed too."""
        self._task = asyncio.current_task()
        try:
            with bound_contextvars(conversation_id=self.sid):
                if self._reason is None:
                    await self._live()
        except asyncio.CancelledError:
            if self._reason is None:
                self._reason = "shutdown"
                raise
        finally:
            self._finish()

    def _interrupt(self) -> None:
        if self._interruptible and self._task is not None:
            self._task.cancel()

    async def _live(self) -> None:
        stack = AsyncExitStack()
        self._workshop = work = self._new_workshop(stack)
        self._interruptible = True
        try:
            await self._set_up(work)
            await self._serve()
        except SessionsError as error:
            await self._fail(error)
        except Exception as error:
            log.exception("session failed", conversation_id=self.sid, state=str(self.state))
            await self._fail(StageFailed(str(self.state), type(error).__name__, "an error of the server"))
        finally:
            self._interruptible = False
            if self._reason is not None:
                self._move(SessionState.CLOSING)
            await self._unwind(stack)
        while self._reason is None:
            self._wake.clear()
            await self._wake.wait()
        if self._reason == "stopped" and self.problem is not None:
            await self._note_stop()

    def _new_workshop(self, stack: AsyncExitStack) -> SetupContext:
        return SetupContext(
            sid=self.sid,
            settings=self.settings,
            parts=self._parts,
            opening=self._opening,
            stream=self.event_stream,
            stack=stack,
        )

    async def _set_up(self, work: SetupContext) -> None:
        for state in SET_UP:
            stage = self._stages[state]
            self._move(state)
            self.event_stream.publish_transient(Status("info", stage.status, ""))
            try:
                async with asyncio.timeout(stage.limit):
                    await stage.build(work)
            except TimeoutError as error:
                raise StageFailed(state, "TimeoutError", f"it took longer than {stage.limit:.0f} s") from error
            except OwnedElsewhere:
                raise  # another server works on it: nothing has failed
            except SessionsError as error:
                raise StageFailed(state, type(error).__name__, without_paths(error.message)) from error
            except OSError as error:
                raise StageFailed(state, type(error).__name__, error.strerror or "the system refused") from error
        assert work.controller is not None  # the last stage made it
        assert work.knowledge is not None  # and the one before it this
        self._desk = CommandHandler(self.event_stream, work.controller, work.knowledge)
        self._snapshot_head = work.snapshot_head
        self._move(SessionState.READY)
        self.event_stream.publish_transient(Status("info", "STATUS$READY", ""))
        self.event_stream.opened = True
        self._settled.set()

    async def _serve(self) -> None:
        """Take commands and turns until the session closes."""
        assert self._desk is not None  # set-up is over
        await self._desk.finish_stop()
        while True:
            self._wake.clear()
            while self._inbox and self._reason is None:
                await self._take(self._inbox.take())
            if self._reason is not None:
                return
            turn_ended = self._reap_turn()
            if self._turn is None and self._has_turn_to_take():
                self._start_turn()
            if turn_ended or self.event_stream.view.head - self._snapshot_head >= SPACING:
                await self._save_snapshot()
            await self._wake.wait()

    def _has_turn_to_take(self) -> bool:
        view = self.event_stream.view
        return view.owed and view.pending is None

    async def _take(self, waiting: QueuedCommand) -> None:
        assert self._desk is not None  # set-up is over
        self._taking = True
        try:
            accepted = await self._desk.take(waiting.command, waiting.keyed, self._end_turn)
        except (Conflict, Fenced) as error:
            waiting.refuse(NotAccepting("another server has taken this conversation over; send it again"))
            raise error
        except SessionsError as error:
            waiting.refuse(error)
        except BaseException:
            waiting.refuse(self._refusal())
            raise
        else:
            waiting.accept(accepted)
        finally:
            self._taking = False

    def _start_turn(self) -> None:
        work = self._workshop
        assert work is not None  # set-up is over
        assert work.controller is not None  # set-up is over
        self._move(SessionState.RUNNING)
        resumed, work.interrupted = work.interrupted, False
        self._turn = asyncio.create_task(work.controller.take_turn(resumed=resumed), name=f"turn {self.sid}")
        self._turn.add_done_callback(lambda turn: self._wake.set())

    def _reap_turn(self) -> bool:
        """Whether a turn has ended since the last call."""
        if self._turn is None or not self._turn.done():
            return False
        turn, self._turn = self._turn, None
        if not turn.cancelled():
            turn.result()
        self._move(SessionState.READY)
        return True

    async def _end_turn(self) -> None:
        if self._turn is None:
            return
        await ended(self._turn)
        self._turn = None
        if self.state is SessionState.RUNNING:
            self._move(SessionState.READY)

    async def _fail(self, error: SessionsError) -> None:
        """The session cannot go on: say so, as far as the log can be reached."""
        self.problem = error
        self._move(SessionState.ERROR)
        text = without_paths(error.message)
        self.event_stream.publish_transient(Status("error", "STATUS$ERROR", text))
        if isinstance(error, StorageError):
            return
        try:
            await record_failure(self.event_stream, text)
        except SessionsError:
            log.warning("the failure could not be recorded", conversation_id=self.sid)

    async def _note_stop(self) -> None:
        view = self.event_stream.view
        if view.head == UNNUMBERED or view.stopping is AgentState.STOPPED:
            return
        if view.agent_state is AgentState.STOPPED and not view.under_way:
            return
        try:
            async with asyncio.timeout(CLOSE_GRACE):
                await record_stop(self.event_stream)
        except (SessionsError, TimeoutError):
            log.warning("the stop could not be recorded", conversation_id=self.sid)

    async def _unwind(self, stack: AsyncExitStack) -> None:
        """End the work, then let go of what set-up opened. A step that fails or hangs does not keep the next one."""
        for step in (self._end_work, stack.aclose):
            try:
                async with asyncio.timeout(CLOSE_GRACE):
                    await step()
            except TimeoutError:
                log.error("closing took too long and was cut off", conversation_id=self.sid)
            except (SessionsError, OSError) as error:
                log.warning("closing met a problem", conversation_id=self.sid, problem=str(error))
            except Exception:
                log.exception("closing failed", conversation_id=self.sid)
        if self.problem is not None:
            self._inbox.refuse(self._refusal())
            self.event_stream.end("failed")
            self._settled.set()

    async def _end_work(self) -> None:
        try:
            if self._desk is not None and self.problem is None and self._reason in ("stopped", "deleted"):
                await self._desk.close(self._end_turn)
        finally:
            await ended(self._turn)
            self._turn = None
            await self.event_stream.quiet()
        if self._desk is not None and self.problem is None:
            await self._let_go()

    async def _let_go(self) -> None:
        """Give the conversation back, unless a turn is to go on by itself when the next server starts."""
        await self._save_snapshot()
        if self._workshop is not None and not self.event_stream.view.owed:
            await self._parts.store.release(self.sid, self._workshop.term, self._parts.clock())

    async def _save_snapshot(self) -> None:
        snapshot = self.event_stream.snapshot()
        if snapshot.head > self._snapshot_head:
            self._snapshot_head = snapshot.head
            await saving(self._parts.store.snapshots, self.sid)(snapshot)

    def _finish(self) -> None:
        if self._closed.is_set():
            return
        if self.state is not SessionState.CLOSING:
            self._move(SessionState.CLOSING)
        self._inbox.refuse(self._refusal())
        self._move(SessionState.CLOSED)
        self.event_stream.end(self._reason or "shutdown")
        self._workshop = None
        if self._cut_off is not None:
            self._cut_off.cancel()
        self._settled.set()
        self._closed.set()

    def _refusal(self) -> SessionsError:
        return self.problem or NotAccepting("the session is closing; send it again")

    def _move(self, to: SessionState) -> None:
        self._lifecycle.move(to)
        self._on_change(self)

    def _heard(self, event: Event) -> None:
        if isinstance(event, AgentStateChangedObservation):
            self._on_change(self)
        if event.id % SPACING == 0:
            self._wake.set()
