"""The event loop that the sessions of this process live on, in a thread of its own, and the ways to it."""

import asyncio
import concurrent.futures.thread  # its own end is registered first, so that it comes after ours
import os
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextvars import Context
from typing import Any, Generic, TypeVar

from openhands_sessions.core.errors import BlockingCall, NotAccepting

T = TypeVar("T")

END_GRACE = 10.0
"""Seconds that the end of the process waits for sessions to close."""
ENDING = "the program is ending: no session is opened any more"


class PrivateLoop:
    """One loop and its thread. Everything that is opened on it is closed by what `at_end` was given, in reverse."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.ended = False
        self._closing: list[Callable[[], Awaitable[None]]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._run, name="openhands-sessions", daemon=True)
        self._thread.start()

    def at_end(self, close: Callable[[], Awaitable[None]]) -> None:
        """Have this awaited on the loop before it ends. Called on the loop."""
        self._closing.append(close)

    def here(self) -> bool:
        """Whether the caller runs on this loop."""
        return threading.current_thread() is self._thread

    def start(self, work: Coroutine[Any, Any, T]) -> "LoopTask[T]":
        """Run it on the loop, from any thread. Raises NotAccepting where the process ends."""
        if self.ended:
            work.close()
            raise NotAccepting(ENDING)
        return LoopTask(self, work)

    def own(self, task: "asyncio.Task[Any]") -> None:
        """Keep a task until it is over."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self) -> None:
        """Close what is open, wait for it at most END_GRACE, and end the thread."""
        if self.ended:
            return
        closing = self.start(self._close())
        self.ended = True
        concurrent.futures.wait([closing.done], timeout=END_GRACE)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(END_GRACE)
        if not self._thread.is_alive():
            self.loop.close()

    async def _close(self) -> None:
        for close in reversed(self._closing):
            await close()
        left = self._tasks - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


class LoopTask(Generic[T]):
    """Work on the private loop. `done` has its outcome once it is over, also where it was cancelled."""

    def __init__(self, private: PrivateLoop, work: Coroutine[Any, Any, T]) -> None:
        self.done: Future[T] = Future()
        self._private = private
        self._task: asyncio.Task[T] | None = None
        # In a context of its own: what is opened outlives the caller, and must not inherit what it is in the middle of.
        private.loop.call_soon_threadsafe(self._begin, work, context=Context())

    def cancel(self) -> None:
        """Ask it to end; from any thread."""
        self._private.loop.call_soon_threadsafe(self._cancel)

    def _begin(self, work: Coroutine[Any, Any, T]) -> None:
        self._task = self._private.loop.create_task(work)
        self._private.own(self._task)
        self._task.add_done_callback(self._finish)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _finish(self, task: "asyncio.Task[T]") -> None:
        if task.cancelled():
            self.done.set_exception(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result(task.result())


def wait_for(work: Coroutine[Any, Any, T], name: str) -> T:
    """Run work on the private loop and wait for it, from a thread without a running loop. `name` is the method that was
    called. Ctrl-C cancels the work, and waits for its end; the second one does not. Raises BlockingCall."""
    try:
        check_may_block(name)
    except BlockingCall:
        work.close()
        raise
    task = private_loop().start(work)
    try:
        return task.done.result()
    except KeyboardInterrupt:
        task.cancel()
        concurrent.futures.wait([task.done])
        raise


async def arrive(work: Coroutine[Any, Any, T]) -> T:
    """Run work on the private loop and await it on any loop. A cancel of the caller cancels it, and waits for its
    end."""
    private = private_loop()
    if private.here():
        return await work
    task = private.start(work)
    outcome = asyncio.wrap_future(task.done)
    try:
        return await asyncio.shield(outcome)
    except asyncio.CancelledError:
        if not outcome.done():
            task.cancel()
            await asyncio.wait([outcome])
        raise


def iterate(items: AsyncGenerator[T, None], name: str) -> Iterator[T]:
    """The items of a generator of the private loop, one at a time; leaving it early closes it. Raises BlockingCall."""
    check_may_block(name)
    try:
        while True:
            try:
                yield wait_for(_next(items), name)
            except StopAsyncIteration:
                return
    finally:
        wait_for(items.aclose(), name)


async def aiterate(items: AsyncGenerator[T, None]) -> AsyncIterator[T]:
    """As `iterate`, on any loop."""
    try:
        while True:
            try:
                item = await arrive(_next(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        await arrive(items.aclose())


def check_may_block(name: str) -> None:
    """Raises BlockingCall where a loop runs in this thread, but for those of IPython and Jupyter, whose cells may
    block."""
    if private_loop().here():
        raise BlockingCall(f"{name}() cannot wait on the loop of the sessions themselves: await a{name}()")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        raise BlockingCall(f"{name}() would stop the event loop that runs here: await a{name}()")


async def _next(items: AsyncGenerator[T, None]) -> T:
    return await anext(items)


class _Process:
    """The loop of this process, made when it is first needed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.current: PrivateLoop | None = None
        self.inherited: list[PrivateLoop] = []
        """Of processes that this one was forked from. They are kept: closing their files would touch the parent's."""

    def forked(self) -> None:
        self.lock = threading.Lock()
        if self.current is not None:
            self.inherited.append(self.current)
            self.current = None


_process = _Process()
os.register_at_fork(after_in_child=_process.forked)


def private_loop() -> PrivateLoop:
    """The loop of this process."""
    with _process.lock:
        if _process.current is None:
            _process.current = made = PrivateLoop()
            _before_the_end(made.end)
        return _process.current


def end_private_loop() -> None:
    """Close all sessions and stores of this process now; the next call opens anew."""
    with _process.lock:
        ended, _process.current = _process.current, None
    if ended is not None:
        ended.end()


def _before_the_end(end: Callable[[], None]) -> None:
    """Have this called when the main thread ends, while threads can still be started: what closes needs some."""
    threading._register_atexit(end)  # type: ignore[attr-defined]  # atexit comes after thread pools have closed
