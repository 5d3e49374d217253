"""Functions of the program that block, each in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import TypeVar

from openhands_sessions.sdk.agent import running_in

T = TypeVar("T")


async def in_thread(work: Callable[[], T], owner: str) -> T:
    """Run it in a thread of its own, which does not hold up the end of the process; `owner` is the session. Where the
    caller is cancelled, it runs on."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def tell(value: T) -> None:
        if not outcome.done():
            outcome.set_result(value)

    def fail(error: Exception) -> None:
        if not outcome.done():
            outcome.set_exception(error)

    def run() -> None:
        running_in.set(owner)
        with suppress(RuntimeError):  # the loop has ended: no caller is left
            try:
                value = work()
            except BaseException as error:
                # A StopIteration cannot be raised into a future, nor must an exit of the function end the program.
                shown = error if isinstance(error, Exception) and not isinstance(error, StopIteration) else None
                loop.call_soon_threadsafe(fail, shown or RuntimeError(type(error).__name__))
            else:
                loop.call_soon_threadsafe(tell, value)

    threading.Thread(target=Context().run, args=(run,), name="openhands-tool", daemon=True).start()
    return await outcome
