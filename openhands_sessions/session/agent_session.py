"""One conversation's engine: its life, from Created to Closed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

import structlog
from structlog.contextvars import bound_contextvars

from openhands_sessions.core.commands import Command, RejectOverdue, SetModel
from openhands_sessions.core.errors import NotAccepting, SessionsError, StageFailed, StorageError
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, OwnerId
from openhands_sessions.core.lifecycle import Lifecycle, SessionState
from openhands_sessions.core.masking import session_masker, without_paths
from openhands_sessions.core.permissions import Permission
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.core.snapshots import SPACING
from openhands_sessions.ports.agent import Agent
from openhands_sessions.ports.gateway import Accepted, EndReason, Status
from openhands_sessions.ports.runtime import Runtime
from openhands_sessions.ports.tracing import trace_parent
from openhands_sessions.session.agent_controllers import AgentControllers
from openhands_sessions.session.command_handler import SubmittedCommand
from openhands_sessions.session.command_loop import CommandLoop, CommandQueue
from openhands_sessions.session.dependencies import Dependencies, SettingsOf
from openhands_sessions.session.feed import Feed
from openhands_sessions.session.idempotency import IdempotencyKey
from openhands_sessions.session.live_credentials import LiveCredentials
from openhands_sessions.session.model_switch import record_switch
from openhands_sessions.session.participants import masker_of, participants_of
from openhands_sessions.session.setup import InitialInput, Ready, SessionSetup
from openhands_sessions.session.setup_stages import STAGES, SetupStage
from openhands_sessions.session.stop import note_stop, record_failure
from openhands_sessions.session.switchable_agent import AgentOpening

log = structlog.get_logger(__name__)

CLOSE_GRACE = 3.0
"""Seconds that each step of closing may take before it is cut off: the command that is just taking effect, the turn,
and what set-up opened."""


class AgentSession:
    """Wires runtime, memory, controller and event stream together. `run` is its whole life."""

    def __init__(
        self,
        sid: ConversationId,
        settings_of: SettingsOf,
        dependencies: Dependencies,
        feed: Feed,
        *,
        owner: OwnerId = LOCAL_OWNER,
        initial: InitialInput | None = None,
        on_change: Callable[["AgentSession"], None] = lambda session: None,
        stages: Mapping[SessionState, SetupStage] = STAGES,
    ) -> None:
        self.sid, self._owner = sid, owner
        self._settings = settings = settings_of(None)
        self._dependencies, self._participants = dependencies, participants_of(settings_of, dependencies)
        self.credentials = LiveCredentials(settings, masker_of(self._participants, dependencies.secrets))
        self.event_stream = dependencies.event_stream(sid, feed, self.credentials.masker)
        ledger = dependencies.ledger(sid, owner, self.event_stream)
        self._opening = AgentOpening(dependencies.agents, self._participants[0].settings_of, ledger)
        self.memory = dependencies.memory
        self.llm_registry = dependencies.agents
        self.problem: SessionsError | None = None
        """Why the session cannot go on, for users."""
        self.stop_is_lost = False
        """The user has stopped it, and that could not be stored."""
        self._initial = initial or InitialInput()
        self._on_change = on_change
        self._stages = stages
        self._lifecycle = Lifecycle()
        self._ready: Ready | None = None
        self._loop: CommandLoop | None = None
        self._queue = CommandQueue()
        self._wakeup = asyncio.Event()
        self._settled = asyncio.Event()
        self._closed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._interruptible = False
        self._cut_off: asyncio.TimerHandle | None = None
        self._reason: EndReason | None = None
        self.event_stream.listen(self._on_event)

    @property
    def state(self) -> SessionState:
        return self._lifecycle.state

    @property
    def settings(self) -> SessionSettings:
        """With the model that is in use, once the session is set up."""
        return self._settings if self._ready is None else self._ready.agent.settings

    @property
    def controller(self) -> AgentControllers | None:
        """Takes the turns; None while the session is not set up."""
        return None if self._ready is None else self._ready.controller

    @property
    def runtime(self) -> Runtime | None:
        """The sandbox; None while the session is not set up."""
        return None if self._ready is None else self._ready.runtime

    @property
    def agent(self) -> Agent | None:
        """What decides; None while the session is not set up."""
        return None if self._ready is None else self._ready.agent

    @property
    def busy(self) -> bool:
        """Whether a turn runs or must, or a command waits: such a session is not closed for being idle."""
        return bool(self._queue) or (self._loop is not None and self._loop.busy)

    @property
    def waiting_commands(self) -> int:
        """Commands that have not been taken yet."""
        return len(self._queue)

    @property
    def accepting(self) -> bool:
        """Whether it takes commands: not once it has failed or is to close."""
        return self._reason is None and self.problem is None and self.state is not SessionState.CLOSED

    @property
    def reason(self) -> EndReason | None:
        """Why it closes; None as long as it does not."""
        return self._reason

    async def settled(self) -> None:
        """Wait until set-up has ended, well or not."""
        await self._settled.wait()

    async def submit(
        self,
        command: Command | RejectOverdue,
        key: IdempotencyKey | None = None,
        author: OwnerId | None = None,
        permission: Permission = Permission.OWN,
    ) -> Accepted:
        """Hand a command over; durable when it returns. Commands take effect in the order of their calls. A caller that
        is cancelled takes nothing back. `permission` is what the author may do with the conversation. Raises
        NotAccepting, BadInput, Forbidden, StorageError, and the session's problem."""
        if not self.accepting:
            raise self._refusal()
        answer = self._queue.put(SubmittedCommand(command, key, author, trace_parent.get(), permission))
        self._wakeup.set()
        return await answer

    async def switch_failed(self, given: SubmittedCommand, command: SetModel) -> Accepted:
        """Record another model where this session has failed; see `record_switch`."""
        return await record_switch(self.event_stream, self._opening, given, command)

    async def close(self, reason: EndReason) -> None:
        """Reach Closed from any state; the first reason counts. Returns when nothing of the session is left."""
        if self._reason is None:
            self._reason = reason
            self._wakeup.set()
            if self._loop is not None and self._loop.taking:
                self._cut_off = asyncio.get_running_loop().call_later(CLOSE_GRACE, self._interrupt)
            else:
                self._interrupt()
        if self._task is None:
            self._finish()
        await self._closed.wait()

    async def run(self) -> None:
        """The life. Never raises, but for a cancel from outside, and then it is closed too."""
        self._task = asyncio.current_task()
        session_masker.set(self.event_stream.masker)
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
        self._interruptible = True
        try:
            await self._set_up(stack)
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
            self._wakeup.clear()
            await self._wakeup.wait()
        if self._reason == "stopped" and self.problem is not None:
            noted = await self._record(note_stop(self.event_stream), "the stop could not be recorded")
            self.stop_is_lost = not noted

    async def _set_up(self, stack: AsyncExitStack) -> None:
        """Build the session, then work until it closes."""
        stream = self.event_stream
        stream.feed.begin()
        setup = SessionSetup(
            sid=self.sid,
            owner=self._owner,
            settings=self._settings,
            opening=self._opening,
            participants=self._participants,
            dependencies=self._dependencies,
            credentials=self.credentials,
            initial=self._initial,
            stream=stream,
            stack=stack,
            move=self._move,
            stages=self._stages,
        )
        self._ready = ready = await setup.run()
        self._loop = CommandLoop(
            ready,
            stream,
            self._queue,
            self._dependencies,
            move=self._move,
            wakeup=self._wakeup,
            spans=self._opening.ledger.spans,
        )
        self._move(SessionState.READY)
        stream.publish_transient(Status("info", "STATUS$READY", ""))
        stream.feed.ready()
        self._settled.set()
        await self._loop.run(lambda: self._reason is not None)

    async def _fail(self, error: SessionsError) -> None:
        """The session cannot go on: say so, as far as the log can be reached."""
        stage = error.stage if isinstance(error, StageFailed) else str(self.state)
        text = without_paths(error.message)
        self.problem = error
        self.event_stream.publish_transient(Status("error", "STATUS$ERROR", text))
        if not isinstance(error, StorageError):
            await self._record(record_failure(self.event_stream, stage, text), "the failure could not be recorded")
        if self.state is not SessionState.ERROR:
            self._move(SessionState.ERROR)

    async def _record(self, recording: Awaitable[None], problem: str) -> bool:
        try:
            async with asyncio.timeout(CLOSE_GRACE):
                await recording
        except (SessionsError, TimeoutError):
            log.warning(problem, conversation_id=self.sid)
            return False
        return True

    async def _unwind(self, stack: AsyncExitStack) -> None:
        """End the work, then let go of what set-up opened. A step that fails or hangs does not keep the next one."""
        steps: tuple[Callable[[], Awaitable[None]], ...] = (self._end_work, stack.aclose)
        for step in steps:
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
            self._queue.refuse(self._refusal())
            self.event_stream.feed.close("failed")
            self._settled.set()

    async def _end_work(self) -> None:
        if self._loop is not None:
            await self._loop.close(self._reason or "failed", failed=self.problem is not None)
        else:
            await self.event_stream.quiet()

    def _finish(self) -> None:
        if self._closed.is_set():
            return
        if self.state is not SessionState.CLOSING:
            self._move(SessionState.CLOSING)
        self._queue.refuse(self._refusal())
        self._move(SessionState.CLOSED)
        self._tell_followers(self._reason or "shutdown")
        # No reference cycle is left: the session is freed with its last reference.
        self._ready = self._loop = None
        self.event_stream.unlisten()
        if self._cut_off is not None:
            self._cut_off.cancel()
        self._settled.set()
        self._closed.set()

    def _tell_followers(self, reason: EndReason) -> None:
        """Those of an idle or failed session stay for the next one."""
        if reason not in ("idle", "failed"):
            self.event_stream.feed.end(reason)
        elif self.problem is None:
            self.event_stream.feed.close(reason)

    def _refusal(self) -> SessionsError:
        return self.problem or NotAccepting("the session is closing; send it again")

    def _move(self, to: SessionState) -> None:
        self._lifecycle.move(to)
        self._on_change(self)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, AgentStateChangedObservation):
            failing = self.problem is not None and event.failed_stage is not None
            if failing and self.state not in (SessionState.ERROR, SessionState.CLOSING, SessionState.CLOSED):
                self._lifecycle.move(SessionState.ERROR)  # in one moment with the agent state
            self._on_change(self)
        if event.id % SPACING == 0:
            self._wakeup.set()
