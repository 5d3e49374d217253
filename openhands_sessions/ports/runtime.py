"""The sandbox of a session. Paths are those of the protocol: `/workspace/…`, or relative to it."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.mcp import McpDone
from openhands_sessions.ports.programs import Programs

WORKSPACE = "/workspace"


OnStep = Callable[[str, str], None]
"""Called with a status id of the protocol and a text for users, at each step of a sandbox's start; on the event loop,
and must not block."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeSpec:
    """What a runtime is opened for. `term` is the owner's: an executor refuses one lower than it has seen.
    `environment` is given to every command. `secrets` are texts that commands know and that the runtime must not write
    down: it masks them in outcomes. Both are read anew for each action, since users refresh their secrets. Texts that
    commands cannot know are not among them, so that a sandbox never learns them."""

    sid: ConversationId
    term: int
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    on_step: OnStep = lambda status, words: None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCommand:
    """Run a command in the persistent shell. `timeout` in seconds, None for the runtime's own limit; after it, the
    whole process group of the command is ended.

    `patience` in seconds: for a command that prints nothing for so long, the action returns (`ended` is `waiting`)
    while the command runs on, for a later GiveInput; None waits to its end. It also returns when the command waits for
    input (`prompt`), or after 10 s without output where a runtime cannot know whether it does. While such a command
    runs, the next one is not started (`busy`).
    """

    command: str
    timeout: float | None = None
    cwd: str | None = None
    patience: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EditFile:
    """One operation of the editor tool, inside the sandbox."""

    command: Literal["view", "create", "str_replace", "insert", "undo_edit"]
    path: str
    file_text: str | None = None
    old_str: str | None = None
    new_str: str | None = None
    insert_line: int | None = None
    view_range: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GiveInput:
    """Type text for the command that runs on, and wait for it again; `\\x03` is Ctrl-C, `\\n` Enter. The outcome is
    that command's, with its output since then, also where it has ended meanwhile; `busy` where there is no such
    command, and nothing is typed then. An empty text only waits."""

    text: str
    patience: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A program that changes nothing, in `/workspace`; it does not see the shell, and may be run twice. Limits in
    seconds, and in bytes of its output (at most 4 MiB)."""

    words: tuple[str, ...]
    timeout: float = 30.0
    limit: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Printed:
    """The output of a Query. `exit_code` is None where it was ended for a limit, or could not be started."""

    output: bytes
    exit_code: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCell:
    """Run a cell in the persistent IPython; cells and commands run one after another. `timeout` as RunCommand's. Its
    outcome is a CommandDone: `exit_code` is 1 where the cell raised, 127 where the sandbox has no IPython."""

    code: str
    timeout: float | None = None


Task = RunCommand | RunCell | EditFile | GiveInput


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandDone:
    """How a command ended. `output` is the head and tail of what a terminal shows of its output, with a line between
    them that says how much was left out (`omitted` bytes). `exit_code` is None where it was ended by force, or has not
    ended; `ended` says by what, or that it runs on (`prompt`: it waits for input; `waiting`), or was not started
    (`busy`). `working_dir` is the shell's folder after it."""

    output: str
    exit_code: int | None
    ended: Literal["exit", "timeout", "interrupted", "killed", "shell_exit", "prompt", "waiting", "busy"] = "exit"
    pid: int = -1
    working_dir: str = WORKSPACE
    omitted: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class EditDone:
    """What an edit did, or why it did nothing (`ok` False, `content` says why). Old and new content are None where
    there is no such file, or it is over the executor's limit."""

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
    """The action is running."""


@dataclass(frozen=True, slots=True)
class UnknownAction:
    """The action did not run, and will not."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The executor is gone, and so is its record of the outcome: it is unknown."""


OnOutput = Callable[[str], None]
"""Called with each new chunk of a command's output, on the event loop; must not block."""


class WorkspaceReader(Protocol):
    """Reads a workspace, whether or not the executor runs. Raises PathRefused for `..`, an absolute path outside
    `/workspace`, a symlink that leads out, or NUL; FileProblem; RuntimeUnavailable."""

    async def read(self, path: str, *, limit: int = 1 << 20) -> bytes:
        """A whole file. Raises FileProblem where it is larger than `limit` bytes."""

    async def list(self, path: str = "") -> Sequence[str]:
        """Names in a folder, sorted, with a `/` after folders."""

    def pieces(self, path: str) -> AsyncGenerator[bytes, None]:
        """A file of any size in chunks of at most 256 KiB. Close the generator if you do not read it to its end."""

    def archive(self, path: str = "") -> AsyncGenerator[bytes, None]:
        """A folder as a zip file, in chunks. Links to files inside count as the files; other links, and what is not a
        file, are left out. Raises TooLarge before the first chunk. Close it as `pieces`."""


class Workspace(WorkspaceReader, Protocol):
    """The files of a workspace, to write them also. Writing raises as reading does."""

    async def write(self, path: str, content: bytes) -> None:
        """Replace a file atomically; creates the folders above it."""

    async def receive(self, path: str, pieces: AsyncIterator[bytes], *, limit: int) -> int:
        """As `write`, in chunks; returns the size in bytes. Raises TooLarge over `limit`. Any error, also of `pieces`,
        leaves the file as it was."""


class Runtime(Protocol):
    """One conversation's sandbox. The executor starts with the first `perform`; every method may be called while
    others run. Actions are known by key (`ids.action_key`) for as long as the sandbox lives."""

    @property
    def files(self) -> Workspace: ...

    @property
    def programs(self) -> Programs: ...

    async def perform(self, key: str, task: Task, on_output: OnOutput) -> Outcome:
        """Run an action and return its outcome. A key that the executor knows is never run again: its outcome is
        returned, or the running action joined (`on_output` then gets its output from the beginning, or as much of its
        end as is kept). Commands run one after another. When cancelled, the action runs on. Raises RuntimeFailure;
        NotAsked where no executor got this call."""

    async def inquire(self, key: str) -> Outcome | Running | UnknownAction | Lost:
        """The status of an action; starts no executor and runs nothing. UnknownAction also where no executor was ever
        started for this workspace. Raises RuntimeUnavailable where the status cannot be read now."""

    async def replaced(self, key: str) -> bool:
        """Whether the workspace in which this action ran is gone, and another one in its place in which none ran yet.
        Starts no executor. Raises RuntimeUnavailable."""

    async def send_input(self, text: str) -> bool:
        """Give text to the running command's terminal; False where none runs. `\\x03` is Ctrl-C."""

    async def interrupt(self, key: str) -> None:
        """End a running command and its whole process group, by force after 0.5 s; its `perform` then returns. The key
        of a GiveInput, or of a command that runs on, ends that command. An unknown key is recorded as never to be
        run. Never raises for an executor that is gone."""

    async def query(self, query: Query) -> Printed:
        """Run a program beside the shell, without waiting for commands. Starts the executor. Raises
        RuntimeUnavailable."""


@dataclass(slots=True)
class SandboxCounts:
    """How many sandboxes were started and removed since the process began."""

    made: int = 0
    removed: int = 0


class Runtimes(Protocol):
    """Opens runtimes of one kind."""

    isolated: bool
    """Whether sandboxes are isolated from the host."""
    counts: SandboxCounts

    def open(self, spec: RuntimeSpec) -> AbstractAsyncContextManager[Runtime]:
        """Check what the kind needs and open a runtime; raises RuntimeUnavailable with advice. Starts no executor. The
        end of the block does not end the sandbox: the next owner finds it again."""

    async def has_ipython(self) -> bool:
        """Whether RunCell works. Called once per session; quick, and starts no executor. Does not raise."""

    async def discard(self, sid: ConversationId) -> None:
        """End a conversation's sandbox and delete its workspace; nothing where there is none."""
