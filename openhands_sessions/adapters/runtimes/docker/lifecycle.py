"""One conversation's container over time: kept awake while it is used, put to rest when it is not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from enum import Enum, auto
from typing import Any

import structlog

from openhands_sessions.adapters.runtimes.docker.engine import ContainerInfo
from openhands_sessions.adapters.runtimes.docker.factory import PAUSED, RUNNING, DockerContext
from openhands_sessions.adapters.runtimes.docker.size_guard import SizeGuard
from openhands_sessions.adapters.runtimes.docker.starter import ContainerStarter
from openhands_sessions.adapters.runtimes.executor_client.connection import ConnectionLost, ExecutorUnresponsive
from openhands_sessions.adapters.runtimes.local.file_lock import FileLock
from openhands_sessions.core.errors import RuntimeFailure, RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.runtime import OnStep

log = structlog.get_logger(__name__)

_END_SECONDS = 5.0
_CLOSE_SECONDS = 3.0


class _Stands(Enum):
    """What is known of the container."""

    NOT = auto()
    AWAKE = auto()
    PAUSED = auto()
    ENDED = auto()
    """By others, or by itself: what is left is to go when its time comes."""


class ContainerLifecycle:
    """A conversation's container, or the place for one. When nobody has used it for a while it is paused, later
    removed; then `on_removed` is called."""

    def __init__(
        self,
        context: DockerContext,
        sid: ConversationId,
        starter: ContainerStarter,
        guard: SizeGuard,
        on_removed: Callable[["ContainerLifecycle"], None],
    ) -> None:
        self.sid = sid
        self.paths = starter.paths
        self.starter = starter
        self.guard = guard
        self._context = context
        self._on_removed = on_removed
        self._hold = FileLock(starter.paths.hold)
        self._changing = asyncio.Lock()
        self._changes: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._opened = 0
        self._uses = 0
        self._stands = _Stands.NOT
        self._closed = False

    @property
    def needed(self) -> bool:
        """Whether anything is to be kept in mind of it."""
        return self._stands != _Stands.NOT or self._uses > 0 or self._opened > 0 or bool(self._changes)

    @property
    def standing(self) -> str:
        """What it is doing, for people."""
        if self._uses:
            return "in use"
        with self._hold.alone() as alone:
            if self._opened or not alone:
                return "its conversation is open"
        return "rests, and is removed when it has rested long enough"

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Keep its folders for the length of the block. Raises RuntimeUnavailable."""
        self._opened += 1
        try:
            async with self._changing:  # they may just be on their way out
                await self.starter.prepare()
                await self._take_hold()
            yield
        finally:
            self._opened -= 1
            if not self._opened:
                self._hold.release()

    @contextlib.asynccontextmanager
    async def used(self, on_step: OnStep) -> AsyncIterator[None]:
        """Keep it awake for the length of the block, which lies within one of `open`. Raises RuntimeUnavailable."""
        self._uses += 1
        self._disarm()
        try:
            async with self._changing:  # it may just be on its way to rest
                if self._stands == _Stands.PAUSED or not self._hold.taken:
                    await self._take_hold()
                    await self._wake(on_step)
            yield
        finally:
            self._uses -= 1
            self._arm()

    async def awake(self, on_step: OnStep) -> bool:
        """Whether its executor runs; one that is paused is woken."""
        await self._wake(on_step)
        return self._stands == _Stands.AWAKE

    async def end_unresponsive(self) -> None:
        """End a container whose executor does not answer."""
        await self._whole(self._end_unresponsive())

    async def launch(self, term: int, on_step: OnStep) -> None:
        """See to it that an executor can be reached."""
        await self._whole(self._launch(term, on_step))

    async def discard(self) -> None:
        """End the container and delete the workspace."""
        await self._whole(self._discard())

    def watch(self, *, paused: bool) -> None:
        """Take over a container that was found, unless it is known, and let it rest when its time comes."""
        self._take_over(_Stands.PAUSED if paused else _Stands.AWAKE)

    def watch_remains(self) -> None:
        """As `watch`, where others have removed the container and a workspace is left that is to go with it."""
        self._take_over(_Stands.ENDED)

    def _take_over(self, found: _Stands) -> None:
        if self._stands == _Stands.NOT and not self._changing.locked():
            self._stands = found
            self._guard()
            self._arm()

    async def close(self) -> None:
        """Watch it no longer, and leave it paused unless it is at work."""
        self._closed = True
        self._disarm()
        await self.guard.rest()
        if self._stands == _Stands.AWAKE:
            self._begin(self._rest())
        while self._changes:
            await asyncio.wait(self._changes)

    async def _take_hold(self) -> None:
        try:
            await self._context.limiter.run(self._hold.take)
        except OSError as error:
            raise RuntimeUnavailable(f"the workspace's folder cannot be used: {error.strerror}") from error

    async def _wake(self, on_step: OnStep) -> None:
        self._note(await self.starter.wake(on_step))
        self._guard()
        await self._unguard()

    def _note(self, found: ContainerInfo | None) -> None:
        if found is not None:
            self._stands = {RUNNING: _Stands.AWAKE, PAUSED: _Stands.PAUSED}.get(found.status, _Stands.ENDED)
        elif self._context.settings.keep_workspace:
            self._stands = _Stands.NOT
        elif self._stands != _Stands.NOT:
            self._stands = _Stands.ENDED

    async def _launch(self, term: int, on_step: OnStep) -> None:
        async with self._changing:
            await self.starter.ensure_running(term, on_step)
            self._stands = _Stands.AWAKE
            self._guard()

    async def _end_unresponsive(self) -> None:
        async with self._changing:
            await self.starter.end_unresponsive()

    async def _discard(self) -> None:
        async with self._changing:
            self._disarm()
            await self.guard.rest()
            await self.starter.delete(but_the_record=False)
            self._stands = _Stands.NOT

    def _guard(self) -> None:
        if self._stands == _Stands.AWAKE and not self._closed:
            self.guard.watch(lambda: self._whole(self._end()))

    async def _unguard(self) -> None:
        if self._stands != _Stands.AWAKE:
            await self.guard.rest()

    async def _end(self) -> None:
        """End all that runs in it, for it holds too much; what was under way is written down where that is possible."""
        async with self._changing:
            if self._stands != _Stands.AWAKE:
                return
            log.warning("a sandbox was ended: it holds more than it may", conversation_id=self.sid)
            with contextlib.suppress(RuntimeFailure, TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await self._shut_down()
            await self.starter.remove()
            self._note(None)
            self._arm()
            await self.guard.rest()

    async def _shut_down(self) -> None:
        storage = self.starter.storage
        link = await storage.connect(await storage.term())
        if link is not None:
            try:
                await link.shutdown()
            finally:
                await link.close()

    def _arm(self) -> None:
        self._disarm()
        if self._stands != _Stands.NOT and not self._uses and not self._closed:
            settings = self._context.settings
            seconds = settings.pause_after if self._stands == _Stands.AWAKE else settings.remove_after
            self._timer = asyncio.get_running_loop().call_later(seconds, self._on_idle)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_idle(self) -> None:
        self._begin(self._rest() if self._stands == _Stands.AWAKE else self._remove())

    async def _rest(self) -> None:
        """Pause it, unless it is at work or another process has it open."""
        async with self._changing:
            try:
                with self._hold.alone() as alone:
                    if alone and not self._uses and await self._is_idle():
                        await self.starter.pause()
                        self._stands = _Stands.PAUSED
            except (RuntimeFailure, OSError) as error:
                log.warning("a sandbox was not put to rest", conversation_id=self.sid, problem=str(error))
            await self._unguard()
            self._arm()

    async def _is_idle(self) -> bool:
        """Whether it runs and has nothing to do, by its own account; or cannot be asked, and so does nothing for us."""
        self._note(await self.starter.find())  # another process may have changed it
        if self._stands != _Stands.AWAKE:
            return False
        storage = self.starter.storage
        try:
            async with asyncio.timeout(self._patience):
                link = await storage.connect(await storage.term())
                if link is None:
                    return True
                try:
                    return (await link.call("status", {})).get("idle") is True
                finally:
                    await link.close()
        except (ConnectionLost, TimeoutError, ExecutorUnresponsive):
            return True

    @property
    def _patience(self) -> float:
        """A server that ends has not got the time that an executor has."""
        seconds = self._context.settings.answer_within
        return min(seconds, _CLOSE_SECONDS) if self._closed else seconds

    async def _remove(self) -> None:
        """It has rested long enough."""
        async with self._changing:
            try:
                with self._hold.alone() as alone:
                    keep = self._context.settings.keep_workspace
                    if not alone or self._uses or (self._opened and not keep):
                        self._arm()
                        return
                    await (self.starter.remove() if keep else self.starter.delete(but_the_record=True))
            except (RuntimeFailure, OSError) as error:
                log.warning("a sandbox was not removed", conversation_id=self.sid, problem=str(error))
                self._arm()
                return
            self._stands = _Stands.NOT
            await self.guard.rest()
        self._on_removed(self)

    async def _whole(self, change: Coroutine[Any, Any, None]) -> None:
        """Make a change to its end, even where nobody waits for it any more."""
        await asyncio.shield(self._begin(change))

    def _begin(self, change: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(change, name=f"sandbox {self.sid}")
        self._changes.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._changes.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.debug("a change to a sandbox failed", conversation_id=self.sid, problem=str(task.exception()))
