"""Sandboxes whose folders lie on this machine, and the executor that listens on a socket in one of them."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from openhands_sessions.adapters.runtimes.executor_client.connection import (
    ExecutorConnection,
    connect_socket,
    is_responsive,
    listener_pid,
)
from openhands_sessions.adapters.runtimes.executor_client.journal import note_cleared, recorded_outcome
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import RuntimeFailure, RuntimeUnavailable
from openhands_sessions.ports.runtime import Lost, Outcome, UnknownAction

END_SECONDS = 3.0
_DELETE_SECONDS = 5.0


class FolderStorage:
    """The folders of one sandbox. All methods may raise RuntimeUnavailable."""

    def __init__(
        self, paths: SandboxPaths, limiter: ThreadLimiter, *, answer_within: float, folders: tuple[Path, ...] = ()
    ) -> None:
        """`folders` are created besides the workspace and the state."""
        self.paths = paths
        self._limiter = limiter
        self._answer_within = answer_within
        self._folders = folders

    async def prepare(self) -> None:
        """Create the folders."""
        advice = "check its owner, its mode and the disk"
        try:
            await self._limiter.run(self._create)
        except OSError as error:
            raise RuntimeUnavailable(f"the workspace's folder cannot be used ({error.strerror}): {advice}") from error

    def _create(self) -> None:
        if not self.paths.workspace.exists():
            note_cleared(self.paths.folder)
        self.paths.create(*self._folders)

    async def connect(self, term: int) -> ExecutorConnection | None:
        """Connect to the executor as the owner; None where none listens."""
        return await connect_socket(self.paths.socket, term=term, seconds=self._answer_within)

    async def listens(self) -> bool:
        """Whether a process listens; also a stopped one, which does not answer."""
        try:
            return await listener_pid(self.paths.socket) is not None
        except RuntimeUnavailable:
            return False  # whatever a sandbox puts in the socket's place must not keep it from being removed

    async def is_responsive(self) -> bool:
        """Whether an executor listens and answers in time."""
        return await is_responsive(connect_socket(self.paths.socket, term=None), self._answer_within)

    async def kill(self) -> None:
        """Ask the executor to end itself; kill it and its descendants where it does not. Nothing where none listens."""
        connection = None
        try:
            async with asyncio.timeout(END_SECONDS):
                connection = await connect_socket(self.paths.socket, term=None)
                if connection is not None:
                    await connection.shutdown()
        except (TimeoutError, RuntimeFailure):
            pid = await listener_pid(self.paths.socket)
            if pid:  # 0 for a process in another pid namespace
                await _kill(_descendants(pid))
        finally:
            if connection is not None:
                await connection.close()

    async def term(self) -> int:
        """The highest owner's term that was written, -1 for none."""
        return await self._limiter.use_folder(self.paths.term)

    async def claim(self, term: int) -> None:
        """Write the owner's term: an executor that an older owner is starting refuses him then."""
        try:
            await self._limiter.run(self.paths.raise_term, term)
        except OSError as error:
            raise RuntimeUnavailable(f"the workspace's folder cannot be written: {error.strerror}") from error

    async def recorded_outcome(self, key: str) -> Outcome | UnknownAction | Lost | None:
        """What the journal says of an action; None where there is no journal."""
        return await self._limiter.run(recorded_outcome, self.paths.state, key)

    async def delete(self, *, keep_journal: bool = False) -> bool:
        """Delete the folders; False where an executor runs."""
        try:
            return await self._limiter.run(self.paths.delete, _DELETE_SECONDS, keep_journal=keep_journal)
        except OSError as error:
            raise RuntimeUnavailable(f"the workspace could not be deleted: {error.strerror}") from error


def _descendants(root: int) -> list[int]:
    """A process and its descendants."""
    found = [root]
    for pid in found:  # grows during the iteration
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
                    await _wait_for_end(process)
        except TimeoutError:
            raise RuntimeUnavailable("the sandbox could not be ended") from None


async def _wait_for_end(process: int) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(process, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process)
