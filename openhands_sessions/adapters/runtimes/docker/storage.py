"""Where the things of one conversation's sandbox lie, and how its executor is reached."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from openhands_sessions.adapters.runtimes.docker.container_spec import MountSpec, bind_mounts
from openhands_sessions.adapters.runtimes.docker.size_guard import Measure, folder_size
from openhands_sessions.adapters.runtimes.executor_client import journal
from openhands_sessions.adapters.runtimes.executor_client.connection import ExecutorConnection
from openhands_sessions.adapters.runtimes.executor_client.handshake import connect_socket, is_responsive, listener_pid
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.adapters.runtimes.local.process import end_executor
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.runtime import Lost, Outcome, UnknownAction

_DELETE_PATIENCE = 5.0


class SandboxStorage(Protocol):
    """All may raise RuntimeUnavailable."""

    paths: SandboxPaths
    mounts: MountSpec
    size: Measure
    """What a sandbox has written, in all."""

    async def prepare(self) -> None:
        """See to it that the folders of this machine are there."""

    async def prepare_mounts(self) -> None:
        """See to all that a container needs before it is made."""

    async def set_secret(self, container: str) -> None:
        """See to what it needs before it is started; at each start."""

    async def connect(self, term: int) -> ExecutorConnection | None:
        """To its executor, as the owner; None where none listens."""

    async def listens(self) -> bool:
        """Whether there is something to be reached. One that is stopped listens all the same."""

    async def answers(self) -> bool:
        """Whether an executor can be reached that answers in time."""

    async def kill(self) -> None:
        """End an executor that can be reached though no container runs: a daemon that was killed while it started one
        has forgotten it."""

    async def term(self) -> int:
        """The highest that is known, -1 for none."""

    async def claim(self, term: int) -> None:
        """Make an executor that is being started by an older owner refuse that owner."""

    async def recorded_outcome(self, key: str) -> Outcome | UnknownAction | Lost | None:
        """What its journal says of an action; None where there is no journal."""

    async def delete(self, *, but_the_record: bool) -> bool:
        """Delete all of it, or all but the record of its actions, unless an executor runs in it; False then."""


StorageFactory = Callable[[SandboxPaths, str], SandboxStorage]
"""What lies under the container of a name."""


class BindMountStorage:
    """Folders of this machine, mounted into the container; the executor listens on a socket in one of them."""

    def __init__(self, paths: SandboxPaths, executor: Path, limiter: ThreadLimiter, answer_within: float) -> None:
        self.paths = paths
        self._answer_within = answer_within
        self.mounts = bind_mounts(paths, executor)
        self.size = folder_size(paths.folder)
        self._limiter = limiter

    async def prepare(self) -> None:
        try:
            await self._limiter.run(self.paths.make, self.paths.home)
        except OSError as error:
            raise RuntimeUnavailable(
                f"the workspace's folder cannot be used ({error.strerror}): check its owner, its mode and the disk"
            ) from error

    async def prepare_mounts(self) -> None:
        """`prepare` has done it."""

    async def set_secret(self, container: str) -> None:
        """Who may open the socket needs to say nothing."""

    async def connect(self, term: int) -> ExecutorConnection | None:
        return await connect_socket(self.paths.socket, term=term, seconds=self._answer_within)

    async def listens(self) -> bool:
        try:
            return await listener_pid(self.paths.socket) is not None
        except RuntimeUnavailable:
            return False  # what a sandbox has put in its place must not keep it from being removed

    async def answers(self) -> bool:
        return await is_responsive(connect_socket(self.paths.socket, term=None), self._answer_within)

    async def kill(self) -> None:
        await end_executor(self.paths.socket)

    async def term(self) -> int:
        return await self._limiter.run(self.paths.term)

    async def claim(self, term: int) -> None:
        try:
            await self._limiter.run(self.paths.raise_term, term)
        except OSError as error:
            raise RuntimeUnavailable(f"the workspace's folder cannot be written: {error.strerror}") from error

    async def recorded_outcome(self, key: str) -> Outcome | UnknownAction | Lost | None:
        return await self._limiter.run(journal.recorded_outcome, self.paths.state, key)

    async def delete(self, *, but_the_record: bool) -> bool:
        try:
            return await self._limiter.run(self.paths.delete, _DELETE_PATIENCE, but_the_record=but_the_record)
        except OSError as error:
            raise RuntimeUnavailable(f"the workspace could not be deleted: {error.strerror}") from error
