"""Ending an executor of this machine, with all that it has started."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from openhands_sessions.adapters.runtimes.executor_client.handshake import connect_socket, listener_pid
from openhands_sessions.core.errors import RuntimeFailure, RuntimeUnavailable

END_SECONDS = 3.0


async def end_executor(socket: Path) -> None:
    """Ask it to end itself; end it by force where it does not. Nothing where none listens."""
    link = None
    try:
        async with asyncio.timeout(END_SECONDS):
            link = await connect_socket(socket, term=None)
            if link is not None:
                await link.shutdown()
    except (TimeoutError, RuntimeFailure):
        pid = await listener_pid(socket)
        if pid:  # 0 for one in a world of processes that is not ours
            await _kill(_tree(pid))
    finally:
        if link is not None:
            await link.close()


def _tree(root: int) -> list[int]:
    """A process and all below it."""
    found = [root]
    for pid in found:  # grows while it is walked
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found


async def _kill(pids: list[int]) -> None:
    """Returns when all have ended. Raises RuntimeUnavailable."""
    with contextlib.ExitStack() as stack:
        processes = []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                processes.append(os.pidfd_open(pid))
                stack.callback(os.close, processes[-1])
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
        try:
            async with asyncio.timeout(END_SECONDS):
                for process in processes:
                    await _ended(process)
        except TimeoutError:
            raise RuntimeUnavailable("the sandbox could not be ended") from None


async def _ended(process: int) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(process, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process)
