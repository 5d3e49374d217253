"""The files of a workspace whose folder lies on this machine."""

from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from openhands_sessions.adapters.runtimes.limiter import Limiter
from openhands_sessions.adapters.runtimes.workspace import OutsidePath, UnfitFile, Workspace
from openhands_sessions.core.errors import FileProblem, PathRefused

P = ParamSpec("P")
T = TypeVar("T")


class FolderFiles:
    """Reads and writes the folder itself, whether or not an executor runs."""

    def __init__(self, workspace: Workspace, limiter: Limiter) -> None:
        self._workspace = workspace
        self._limiter = limiter

    async def read(self, path: str, *, limit: int = 1 << 20) -> bytes:
        return await self._run(self._workspace.read, path, limit=limit)

    async def write(self, path: str, content: bytes) -> None:
        await self._run(self._workspace.write, path, content)

    async def list(self, path: str = "") -> Sequence[str]:
        return await self._run(self._workspace.names, path)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._limiter.run(function, *args, **kwargs)
        except OutsidePath as error:
            raise PathRefused(str(error)) from None
        except UnfitFile as error:
            raise FileProblem(str(error)) from None
