"""The sandbox as a session sees it. Paths are the wire's: `/workspace/…`, or relative to it."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.mcp import McpDone
from openhands_sessions.ports.programs import Programs

WORKSPACE = "/workspace"


OnStep = Callable[[str, str], None]
"""Called with a status id of the wire and words for users, at each step on the way to a sandbox that runs; on the event
loop, and must not block."""


def _untold(status: str, words: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeSpec:
    """What a runtime is opened for. `term` is the owner's: an executor refuses a lower one than it has seen.
    `environment` is given to every command."""

    sid: ConversationId
    term: int
    environment: dict[str, str] = field(default_factory=dict)
    on_step: OnStep = _untold


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCommand:
    """Run a command in the persistent shell. `timeout` in seconds, None for the runtime's own limit; when it is over,
    the whole process group of the command is ended.

    `patience` in seconds: a command that prints nothing for so long is let go of (`ended` is `waiting`) and runs on,
    for a later GiveInput; None waits to its end. While one that was let go of runs, the next command is not run
    (`busy`).
    """

    command: str
    timeout: float | None = None
    cwd: str | None = None
    patience: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EditFile:
    """One operation of the editor tool, carried out inside the sandbox."""

    command: Literal["view", "create", "str_replace", "insert", "undo_edit"]
    path: str
    file_text: str | None = None
    old_str: str | None = None
    new_str: str | None = None
    insert_line: int | None = None
    view_range: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GiveInput:
    """Type text for the command that was let go of, and wait for it again; `\\x03` is Ctrl-C. The outcome is that
    command's, with what it printed since, also where it has ended meanwhile; `busy` where there is none, or its end
    was told, and then nothing was typed. An empty text only waits."""

    text: str
    patience: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A program that only looks, in `/workspace`: it knows nothing of the shell, and may be run twice. Limits in
    seconds, and in bytes of what it prints (at most 4 MiB)."""

    words: tuple[str, ...]
    timeout: float = 30.0
    limit: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Printed:
    """What a Query printed. `exit_code` is None where it was ended for a limit, or could not be started."""

    output: bytes
    exit_code: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCell:
    """Run a cell in the persistent IPython, in turn with the commands; `timeout` as RunCommand's. Its outcome is a
    CommandDone: `exit_code` is 1 where the cell raised, 127 where the sandbox has no IPython."""

    code: str
    timeout: float | None = None


Task = RunCommand | RunCell | EditFile | GiveInput


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandDone:
    """How a command ended. `output` is the head and tail of what it printed, with a line in between that says how
    much was left out (`omitted` bytes). `exit_code` is None where it was ended by force, or is not at its end;
    `ended` says by what, or that it runs on (`waiting`), or was not run (`busy`).
    `working_dir` is where the shell stands now, as a wire path."""

    output: str
    exit_code: int | None
    ended: Literal["exit", "timeout", "interrupted", "killed", "shell_exit", "waiting", "busy"] = "exit"
    pid: int = -1
    working_dir: str = WORKSPACE
    omitted: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class EditDone:
    """What an edit did, or why it did nothing (`ok` False, `content` says why). Old and new content are None where
    there is none, or over the executor's cap."""

    ok: bool
    content: str
    path: str
    prev_exist: bool = False
    old_content: str | None = None
    new_content: str | None = None
    diff: str | None = None


Outcome = CommandDone | EditDone | McpDone


@dataclass(frozen=True, slots=True)
class Running:
    """The executor is at it."""


@dataclass(frozen=True, slots=True)
class UnknownAction:
    """The executor answered, and has never heard of the action: it did not run."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The executor that was to do it is gone, and no record of it is left: the outcome is unknown."""


OnOutput = Callable[[str], None]
"""Called with each new piece of a command's output, on the event loop; must not block."""


class WorkspaceReader(Protocol):
    """What a workspace holds, whether or not the executor runs. Raises PathRefused for `..`, an absolute path outside
    `/workspace`, a symlink that leads out, or NUL; FileProblem; RuntimeUnavailable."""

    async def read(self, path: str, *, limit: int = 1 << 20) -> bytes:
        """A file, FileProblem where it is larger than `limit` bytes."""

    async def list(self, path: str = "") -> Sequence[str]:
        """Names in a folder, sorted, folders with a `/` behind."""

    def pieces(self, path: str) -> AsyncGenerator[bytes, None]:
        """A file of any size, at most 256 KiB at once. Close what you do not read to its end."""

    def archive(self, path: str = "") -> AsyncGenerator[bytes, None]:
        """A folder with all in it as a zip file, in memory of a few pieces. Links to files inside count as the files;
        other links and what is no file are left out. Raises TooLarge before the first piece. Close it as `pieces`."""


class WorkspaceWriter(Protocol):
    """How a workspace is changed from outside. Raises as WorkspaceReader."""

    async def write(self, path: str, content: bytes) -> None:
        """Replace a file atomically, making the folders above it."""

    async def receive(self, path: str, pieces: AsyncIterator[bytes], *, limit: int) -> int:
        """As `write`, in memory of one piece; the size in bytes. TooLarge where it is more than `limit`. Whatever is
        raised, by `pieces` too, leaves the file as it was."""


class Workspace(WorkspaceReader, WorkspaceWriter, Protocol):
    """The files of a workspace."""


class Runtime(Protocol):
    """One conversation's sandbox. The executor starts with the first `perform`; every method may be called while
    others run. Actions are known by key (`ids.action_key`) for as long as the sandbox lives."""

    files: Workspace
    programs: Programs

    async def perform(self, key: str, task: Task, on_output: OnOutput) -> Outcome:
        """Do it and return its outcome. A key that the executor knows is never done again: its outcome is returned, or
        the running one joined (`on_output` then gets its output from the beginning, or as much of its end as is
        kept). Commands run one after another.
        Being cancelled lets go of it and leaves it running. Raises RuntimeFailure; NotAsked where no executor has heard
        of this call."""

    async def inquire(self, key: str) -> Outcome | Running | UnknownAction | Lost:
        """What became of an action; starts no executor and runs nothing. UnknownAction also where no executor was ever
        started for this workspace. Raises RuntimeUnavailable where it cannot be told now."""

    async def send_input(self, text: str) -> bool:
        """Give text to the running command's terminal; False where none runs. `\\x03` is Ctrl-C."""

    async def interrupt(self, key: str) -> None:
        """End a running command and its whole process group, by force after 0.5 s; its `perform` then returns. The key
        of a GiveInput, or of a command that was let go of, ends that command. A key that the executor has not heard of
        is remembered as never to be run. Never raises for a gone executor."""

    async def query(self, query: Query) -> Printed:
        """Run a program beside the shell, waiting for no command. Starts the executor. Raises RuntimeUnavailable."""


class Runtimes(Protocol):
    """How runtimes of one kind are opened."""

    isolated: bool
    """Whether what runs inside is kept from the host."""

    def open(self, spec: RuntimeSpec) -> AbstractAsyncContextManager[Runtime]:
        """Check what the kind needs and open one; raises RuntimeUnavailable with what to do. Starts no executor. The
        end of the block lets go of the sandbox without ending it: the next owner finds it again."""

    async def has_ipython(self) -> bool:
        """Whether RunCell is of any use. Asked once per session; quick, and starts no executor. Does not raise."""

    async def discard(self, sid: ConversationId) -> None:
        """End a conversation's sandbox and delete its workspace; nothing where there is none."""
