"""One conversation's container over time: awake while it is used, then paused, then removed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from openhands_sessions.adapters.runtimes.docker.container_state import ContainerState, ContainerStateMachine
from openhands_sessions.adapters.runtimes.docker.engine import ContainerInfo
from openhands_sessions.adapters.runtimes.docker.factory import DockerContext
from openhands_sessions.adapters.runtimes.docker.size_guard import SizeGuard
from openhands_sessions.adapters.runtimes.docker.starter import ContainerStarter
from openhands_sessions.adapters.runtimes.executor_client.connection import (
    ConnectionLost,
    ExecutorConnection,
    ExecutorUnresponsive,
)
from openhands_sessions.adapters.runtimes.local.paths import FileLock
from openhands_sessions.core.errors import RuntimeFailure, RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.runtime import OnStep

log = structlog.get_logger(__name__)

_UNUSED = "it was not used"

_SHUTDOWN_SECONDS = 5.0
_CLOSE_SECONDS = 3.0


class ContainerLifecycle:
    """A conversation's container, or the place for one. Changes to it run one at a time and to their end. A container
    that is not used for a while is paused, later removed. `on_unneeded` is called after a change that leaves nothing
    to keep."""

    def __init__(
        self,
        context: DockerContext,
        sid: ConversationId,
        starter: ContainerStarter,
        guard: SizeGuard,
        on_unneeded: Callable[["ContainerLifecycle"], None],
    ) -> None:
        self.sid = sid
        self.paths = starter.paths
        self.starter = starter
        self.guard = guard
        self._context = context
        self._on_unneeded = on_unneeded
        self._machine = ContainerStateMachine()
        self._lock = FileLock(starter.paths.lock)
        self._changing = asyncio.Lock()
        self._changes: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._opened = 0
        self._uses = 0

    @property
    def needed(self) -> bool:
        """Whether this object holds anything that must not be forgotten."""
        absent = self._state in (ContainerState.ABSENT, ContainerState.CLOSED)
        return not absent or self._uses > 0 or self._opened > 0 or bool(self._changes)

    @property
    def description(self) -> str:
        """What the container is doing, for users."""
        if self._uses:
            return "in use"
        with self._lock.exclusive() as exclusive:
            if self._opened or not exclusive:
                return "its conversation is open"
        return "rests, and is removed when it has rested long enough"

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Keep the folders for the length of the block. Raises RuntimeUnavailable."""
        self._opened += 1
        try:
            async with self._changing:  # a removal of the folders may be under way
                await self.starter.storage.prepare()
                await self._acquire_lock()
            yield
        finally:
            self._opened -= 1
            if not self._opened:
                self._lock.release()

    @contextlib.asynccontextmanager
    async def used(self, on_step: OnStep) -> AsyncIterator[None]:
        """Keep the container awake for the length of the block, which lies within one of `open`. Raises
        RuntimeUnavailable."""
        self._uses += 1
        self._cancel_timer()
        try:
            async with self._changing:  # a pause may be under way
                if self._state == ContainerState.PAUSED or not self._lock.held:
                    await self._acquire_lock()
                    await self._unpause(on_step)
            yield
        finally:
            self._uses -= 1
            self._set_timer()

    async def awake(self, on_step: OnStep) -> bool:
        """Whether the container runs; it is unpaused if it is paused."""
        await self._unpause(on_step)
        return self._state == ContainerState.RUNNING

    async def end_unresponsive(self) -> None:
        """End a container whose executor does not answer."""
        await self._complete(self.starter.end_unresponsive)

    async def ensure_running(self, term: int, on_step: OnStep) -> None:
        """Returns when an executor can be reached."""
        await self._complete(lambda: self._ensure_running(term, on_step))

    async def discard(self) -> None:
        """End the container and delete the workspace."""
        await self._complete(self._discard)

    def adopt(self, status: str) -> None:
        """Manage a container that was found with this status of the engine, unless it is known."""
        if self._state == ContainerState.ABSENT and not self._changing.locked():
            self._machine.observe(status)
            self._start_guard()
            self._set_timer()

    async def close(self) -> None:
        """Manage it no longer, and leave it paused unless it is at work."""
        self._cancel_timer()
        await self.guard.stop()
        if self._state == ContainerState.RUNNING:
            seconds = min(self._context.settings.answer_within, _CLOSE_SECONDS)
            self._begin(lambda: self._pause(seconds))
        await self._changes_done()
        self._machine.move(ContainerState.CLOSED)
        self._cancel_timer()
        await self.guard.stop()
        await self._changes_done()

    @property
    def _state(self) -> ContainerState:
        return self._machine.state

    async def _changes_done(self) -> None:
        while self._changes:
            await asyncio.wait(self._changes)

    async def _acquire_lock(self) -> None:
        try:
            await self._context.limiter.run(self._lock.acquire)
        except OSError as error:
            raise RuntimeUnavailable(f"the workspace's folder cannot be used: {error.strerror}") from error

    async def _unpause(self, on_step: OnStep) -> None:
        self._check_open()
        self._observe(await self.starter.unpause(on_step))
        self._start_guard()
        await self._stop_guard()

    def _check_open(self) -> None:
        if self._state == ContainerState.CLOSED:
            raise RuntimeUnavailable("the server ends")

    def _observe(self, found: ContainerInfo | None) -> None:
        if self._state == ContainerState.CLOSED:
            return
        if found is not None:
            self._machine.observe(found.status)
        elif self._context.settings.keep_workspace:
            self._machine.move(ContainerState.ABSENT)
        elif self._state != ContainerState.ABSENT:
            self._machine.move(ContainerState.EXITED)  # the workspace is still to be removed

    async def _ensure_running(self, term: int, on_step: OnStep) -> None:
        self._check_open()
        await self.starter.ensure_running(term, on_step)
        self._machine.move(ContainerState.RUNNING)
        self._start_guard()

    async def _discard(self) -> None:
        self._check_open()
        self._cancel_timer()
        await self.guard.stop()
        await self.starter.delete("it was asked for", keep_journal=False)
        self._machine.move(ContainerState.ABSENT)

    def _start_guard(self) -> None:
        if self._state == ContainerState.RUNNING:
            self.guard.start(lambda: self._complete(self._end_oversized))

    async def _stop_guard(self) -> None:
        if self._state != ContainerState.RUNNING:
            await self.guard.stop()

    async def _end_oversized(self) -> None:
        """End all that runs in a sandbox that holds too much; its executor records what was running, if it can."""
        if self._state != ContainerState.RUNNING:
            return
        log.warning("a sandbox was ended: it holds more than it may", conversation_id=self.sid)
        with contextlib.suppress(RuntimeFailure, TimeoutError):
            async with asyncio.timeout(_SHUTDOWN_SECONDS), self._executor() as connection:
                if connection is not None:
                    await connection.shutdown()
        await self.starter.remove("it holds more than it may")
        await self.guard.accept_size()
        self._observe(None)
        self._set_timer()
        await self.guard.stop()

    @contextlib.asynccontextmanager
    async def _executor(self) -> AsyncIterator[ExecutorConnection | None]:
        """A connection as the last owner for the length of the block; None where no executor listens."""
        storage = self.starter.storage
        connection = await storage.connect(await storage.term())
        try:
            yield connection
        finally:
            if connection is not None:
                await connection.close()

    def _set_timer(self) -> None:
        self._cancel_timer()
        if self._state not in (ContainerState.ABSENT, ContainerState.CLOSED) and not self._uses:
            settings = self._context.settings
            running = self._state == ContainerState.RUNNING
            seconds = settings.pause_after if running else settings.remove_after
            self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timer)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        if self._state == ContainerState.RUNNING:
            self._begin(lambda: self._pause(self._context.settings.answer_within))
        else:
            self._begin(self._remove)

    async def _pause(self, answer_within: float) -> None:
        """Pause the container, unless it is at work or another process has it open."""
        try:
            with self._lock.exclusive() as exclusive:
                if exclusive and not self._uses and await self._is_idle(answer_within):
                    await self.starter.pause()
                    self._machine.move(ContainerState.PAUSED)
        except (RuntimeFailure, OSError) as error:
            log.warning("a sandbox was not put to rest", conversation_id=self.sid, problem=str(error))
        await self._stop_guard()
        self._set_timer()

    async def _is_idle(self, answer_within: float) -> bool:
        """Whether the container runs and its executor has nothing to do; one that does not answer does nothing for the
        conversation."""
        self._observe(await self.starter.find())  # another process may have changed it
        if self._state != ContainerState.RUNNING:
            return False
        try:
            async with asyncio.timeout(answer_within), self._executor() as connection:
                return connection is None or (await connection.call("status", {})).get("idle") is True
        except (ConnectionLost, TimeoutError, ExecutorUnresponsive):
            return True

    async def _remove(self) -> None:
        try:
            with self._lock.exclusive() as exclusive:
                keep = self._context.settings.keep_workspace
                if not exclusive or self._uses or (self._opened and not keep):
                    self._set_timer()
                    return
                await (self.starter.remove(_UNUSED) if keep else self.starter.delete(_UNUSED, keep_journal=True))
        except (RuntimeFailure, OSError) as error:
            log.warning("a sandbox was not removed", conversation_id=self.sid, problem=str(error))
            self._set_timer()
            return
        self._machine.move(ContainerState.ABSENT)
        await self.guard.stop()

    async def _complete(self, change: Callable[[], Awaitable[None]]) -> None:
        """Run a change to its end, also where the caller is cancelled."""
        await asyncio.shield(self._begin(change))

    def _begin(self, change: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run(change), name=f"sandbox {self.sid}")
        self._changes.add(task)
        task.add_done_callback(self._on_change_done)
        return task

    async def _run(self, change: Callable[[], Awaitable[None]]) -> None:
        async with self._changing:
            await change()

    def _on_change_done(self, task: asyncio.Task[None]) -> None:
        self._changes.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.debug("a change to a sandbox failed", conversation_id=self.sid, problem=str(task.exception()))
        if not self.needed:
            self._on_unneeded(self)
