"""No sandbox: for agents whose tools need none."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from openhands_sessions.core.errors import FileProblem, NotAsked, RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.programs import Programs, ProgramSession, ProgramSpec
from openhands_sessions.ports.runtime import (
    OnOutput,
    Outcome,
    Printed,
    Query,
    Runtime,
    RuntimeSpec,
    SandboxCounts,
    Task,
    UnknownAction,
    Workspace,
)

PROBLEM = "this agent has no sandbox"


class NoSandboxes:
    """Opens what runs nothing and holds no files."""

    isolated = True

    def __init__(self) -> None:
        self.counts = SandboxCounts()

    @asynccontextmanager
    async def open(self, spec: RuntimeSpec) -> AsyncIterator[Runtime]:
        yield NoSandbox()

    async def has_ipython(self) -> bool:
        return False

    async def discard(self, sid: ConversationId) -> None:
        """There is nothing to end."""


class NoSandbox:
    """Refuses what is asked of it."""

    files: Workspace
    programs: Programs

    def __init__(self) -> None:
        self.files = NoFiles()
        self.programs = NoPrograms()

    async def perform(self, key: str, task: Task, on_output: OnOutput) -> Outcome:
        raise NotAsked(PROBLEM)

    async def inquire(self, key: str) -> UnknownAction:
        return UnknownAction()

    async def replaced(self, key: str) -> bool:
        return False

    async def send_input(self, text: str) -> bool:
        return False

    async def interrupt(self, key: str) -> None:
        """Nothing runs."""

    async def query(self, query: Query) -> Printed:
        raise RuntimeUnavailable(PROBLEM)


class NoPrograms:
    """Starts none."""

    @asynccontextmanager
    async def open(self, program: ProgramSpec) -> AsyncIterator[ProgramSession]:
        sessions: Sequence[ProgramSession] = ()
        for session in sessions:
            yield session
        raise RuntimeUnavailable(PROBLEM)


class NoFiles:
    """A workspace that has nothing and takes nothing."""

    async def read(self, path: str, *, limit: int = 1 << 20) -> bytes:
        raise FileProblem(PROBLEM)

    async def list(self, path: str = "") -> Sequence[str]:
        raise FileProblem(PROBLEM)

    def pieces(self, path: str) -> AsyncGenerator[bytes, None]:
        return _refused()

    def archive(self, path: str = "") -> AsyncGenerator[bytes, None]:
        return _refused()

    async def write(self, path: str, content: bytes) -> None:
        raise FileProblem(PROBLEM)

    async def receive(self, path: str, pieces: AsyncIterator[bytes], *, limit: int) -> int:
        raise FileProblem(PROBLEM)


async def _refused() -> AsyncGenerator[bytes, None]:
    pieces: Sequence[bytes] = ()
    for piece in pieces:
        yield piece
    raise FileProblem(PROBLEM)
