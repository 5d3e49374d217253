"""Sandboxes in memory: the port's promises over a scripted shell and a dict of files. Nothing is really run."""

import asyncio
import io
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from openhands_sessions.core.errors import FileProblem, NotAsked, RuntimeUnavailable, TooLarge
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.programs import LONGEST_LINE, CutLine, Programs, ProgramSession, ProgramSpec
from openhands_sessions.ports.runtime import (
    CommandDone,
    EditFile,
    GiveInput,
    Lost,
    OnOutput,
    Outcome,
    Printed,
    Query,
    RunCell,
    RunCommand,
    Running,
    Runtime,
    RuntimeSpec,
    SandboxCounts,
    Task,
    UnknownAction,
    Workspace,
)
from tests.fakes.editor import DictEditor, key_of
from tests.fakes.shell import Ended, Job, ScriptedShell

PIECE = 256 << 10


class DictFiles:
    """A Workspace over a dict, which the shell and the editor share."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    async def read(self, path: str, *, limit: int = 1 << 20) -> bytes:
        content = self._files.get(key_of(path))
        if content is None or len(content) > limit:
            raise FileProblem(f"{path} does not exist or is too large")
        return content

    async def write(self, path: str, content: bytes) -> None:
        self._files[key_of(path)] = content

    async def pieces(self, path: str) -> AsyncGenerator[bytes, None]:
        content = await self.read(path, limit=1 << 40)
        for start in range(0, len(content), PIECE):
            yield content[start : start + PIECE]

    async def archive(self, path: str = "") -> AsyncGenerator[bytes, None]:
        folder = key_of(path)
        await self.list(path)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, content in self._files.items():
                if f"{name}/".startswith(f"{folder}/" if folder else ""):
                    archive.writestr(name[len(folder) :].lstrip("/"), content)
        yield packed.getvalue()

    async def receive(self, path: str, pieces: AsyncIterator[bytes], *, limit: int) -> int:
        content = b""
        async for piece in pieces:
            content += piece
            if len(content) > limit:
                raise TooLarge(f"{path} is larger than {limit} bytes")
        await self.write(path, content)
        return len(content)

    async def list(self, path: str = "") -> Sequence[str]:
        folder = key_of(path)
        below = [key[len(folder) :].lstrip("/") for key in self._files if key.startswith(folder + "/" * bool(folder))]
        if folder and not below:
            raise FileProblem(f"{path} is no folder")
        return sorted({name.partition("/")[0] + "/" * ("/" in name) for name in below})


@dataclass
class _Performing:
    """An action under way, or one that waits for its turn."""

    listeners: list[OnOutput] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Future[CommandDone] = field(default_factory=asyncio.Future)
    shown: str = ""

    def show(self, text: str) -> None:
        self.shown += text
        for listener in self.listeners:
            listener(text)


@dataclass
class _Sandbox:
    """What stands in for one conversation's executor."""

    shell: ScriptedShell
    editor: DictEditor
    cap: int
    timeout: float
    term: int = -1
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    live: dict[str, _Performing] = field(default_factory=dict)
    job: Job | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, key: str, task: RunCommand | GiveInput, environment: Mapping[str, str]) -> None:
        if isinstance(task, RunCommand) and task.cwd is not None:
            key_of(task.cwd)
        performing = self.live[key] = _Performing()
        self.tasks.add(asyncio.create_task(self._take_turn(key, task, performing, environment)))

    def not_run(self, ended: Ended) -> CommandDone:
        return CommandDone(output="", exit_code=None, ended=ended, working_dir=self.shell.working_dir)

    async def _take_turn(
        self, key: str, task: RunCommand | GiveInput, performing: _Performing, environment: Mapping[str, str]
    ) -> None:
        async with self.turn:
            if isinstance(task, RunCommand):
                done = await self._run(key, task, performing, environment)
            else:
                done = await self._type(key, task, performing)
        omitted = len(done.output) - 2 * self.cap
        if omitted > 0:
            head, tail = done.output[: self.cap], done.output[-self.cap :]
            done = replace(done, output=f"{head}\n[... {omitted} bytes left out ...]\n{tail}", omitted=omitted)
        self.outcomes[key] = done
        del self.live[key]
        performing.done.set_result(done)

    async def _run(
        self, key: str, task: RunCommand, performing: _Performing, environment: Mapping[str, str]
    ) -> CommandDone:
        if performing.stop.is_set():
            return self.not_run("interrupted")
        if self.job is not None and self.job.stop.is_set():
            await asyncio.wait({self.job.running})
        if self.job is not None and not self.job.running.done():
            return self.not_run("busy")
        shell = self.shell
        shell.variables.update(environment, OHS_ACTION_ID=key)
        shell.folder = shell.folder if task.cwd is None else key_of(task.cwd)
        self.job = Job(shell, task.command, self.timeout if task.timeout is None else task.timeout)
        return await self._attend(self.job, key, performing, task.patience)

    async def _type(self, key: str, task: GiveInput, performing: _Performing) -> CommandDone:
        if self.job is None:
            return self.not_run("interrupted" if performing.stop.is_set() else "busy")
        if not self.job.running.done() and not performing.stop.is_set():
            self.job.type(task.text)
        return await self._attend(self.job, key, performing, task.patience)

    async def _attend(self, job: Job, key: str, performing: _Performing, patience: float | None) -> CommandDone:
        job.keys.add(key)
        done = await job.attended(performing.stop, performing.show, patience)
        if done.ended != "waiting":
            self.job = None
        return done

    async def end(self) -> None:
        """As if the executor were killed: what ran is lost."""
        self.lost |= self.live.keys()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        if self.job is not None:
            self.job.running.cancel()
            await asyncio.wait({self.job.running})
            self.job = None
        for performing in self.live.values():
            if not performing.done.done():
                performing.done.set_exception(RuntimeUnavailable("the sandbox ended while it was at work"))
                performing.done.exception()  # whoever performs it hears of it; nobody has to
        self.live.clear()


class EchoPrograms:
    """Knows `cat`, and nothing else."""

    @asynccontextmanager
    async def open(self, program: ProgramSpec) -> AsyncIterator[ProgramSession]:
        yield _Echo(ended=program.words[0] != "cat")


class _Echo:
    def __init__(self, *, ended: bool) -> None:
        self._ended = ended
        self.unread: frozenset[str] = frozenset()
        self._said: asyncio.Queue[str] = asyncio.Queue(maxsize=64)

    async def lines(self) -> AsyncGenerator[str | CutLine, None]:
        while not self._ended:
            yield await self._said.get()

    async def write(self, line: str, key: str = "") -> None:
        if self._ended:
            raise NotAsked("the program has ended")
        if len(line) > LONGEST_LINE:
            raise TooLarge("the line is too long")
        self._said.put_nowait(line)


class FakeRuntime:
    def __init__(self, spec: RuntimeSpec, sandbox: _Sandbox) -> None:
        self.files: Workspace = DictFiles(sandbox.shell.files)
        self.programs: Programs = EchoPrograms()
        self._spec = spec
        self._sandbox = sandbox

    async def perform(self, key: str, task: Task, on_output: OnOutput) -> Outcome:
        sandbox = self._admitted()
        if key in sandbox.lost:
            raise RuntimeUnavailable("the outcome is unknown")
        if key in sandbox.outcomes:
            return sandbox.outcomes[key]
        if isinstance(task, EditFile):
            return sandbox.outcomes.setdefault(key, sandbox.editor.apply(task))
        if isinstance(task, RunCell):
            task = RunCommand(command=task.code, timeout=task.timeout)
        if key not in sandbox.live:
            sandbox.start(key, task, self._spec.environment)
        performing = sandbox.live[key]
        performing.listeners.append(on_output)
        if performing.shown:
            on_output(performing.shown)
        try:
            return await asyncio.shield(performing.done)
        finally:
            performing.listeners.remove(on_output)

    async def inquire(self, key: str) -> Outcome | Running | UnknownAction | Lost:
        sandbox = self._admitted()
        if key in sandbox.lost:
            return Lost()
        return sandbox.outcomes.get(key) or (Running() if key in sandbox.live else UnknownAction())

    async def replaced(self, key: str) -> bool:
        return isinstance(await self.inquire(key), UnknownAction)

    async def send_input(self, text: str) -> bool:
        job = self._admitted().job
        if job is None or job.running.done():
            return False
        job.type(text)
        return True

    async def interrupt(self, key: str) -> None:
        with suppress(RuntimeUnavailable):
            sandbox = self._admitted()
            if key in sandbox.live:
                sandbox.live[key].stop.set()
            elif sandbox.job is not None and key in sandbox.job.keys:
                sandbox.job.stop.set()
            elif key not in sandbox.outcomes and key not in sandbox.lost:
                sandbox.outcomes[key] = sandbox.not_run("interrupted")

    async def query(self, query: Query) -> Printed:
        sandbox = self._admitted()
        shell = ScriptedShell(sandbox.shell.files, sandbox.shell.replies, {})
        said: list[str] = []
        try:
            async with asyncio.timeout(query.timeout):
                code = await shell.run(" ".join(query.words), said.append)
        except TimeoutError:
            return Printed("".join(said).encode()[: query.limit], None)
        output = "".join(said).encode()
        return Printed(output[: query.limit], code if len(output) <= query.limit else None)

    def _admitted(self) -> _Sandbox:
        if self._spec.term < self._sandbox.term:
            raise RuntimeUnavailable("a newer owner has come")
        self._sandbox.term = self._spec.term
        return self._sandbox


class FakeRuntimes:
    """`replies` and `holds` are the shell's. Whoever lets a command run on after a test must `discard` its sandbox."""

    isolated = False

    def __init__(
        self,
        replies: Mapping[str, tuple[str, int]] | None = None,
        holds: Mapping[str, asyncio.Event] | None = None,
        *,
        command_timeout: float = 600.0,
        cap: int = 64 << 10,
        ipython: bool = False,
    ) -> None:
        self.ipython = ipython
        self.counts = SandboxCounts()
        self._replies = replies or {}
        self._holds = holds or {}
        self._command_timeout = command_timeout
        self._cap = cap
        self._sandboxes: dict[ConversationId, _Sandbox] = {}

    @asynccontextmanager
    async def open(self, spec: RuntimeSpec) -> AsyncIterator[Runtime]:
        files: dict[str, bytes] = {}
        shell = ScriptedShell(files, self._replies, self._holds)
        new = _Sandbox(shell, DictEditor(files), self._cap, self._command_timeout)
        self.counts.made += spec.sid not in self._sandboxes
        yield FakeRuntime(spec, self._sandboxes.setdefault(spec.sid, new))

    async def has_ipython(self) -> bool:
        return self.ipython

    async def lose(self, sid: ConversationId) -> None:
        """Kill the executor: whatever runs is lost, and what was done stays known."""
        await self._sandboxes[sid].end()

    async def discard(self, sid: ConversationId) -> None:
        sandbox = self._sandboxes.pop(sid, None)
        if sandbox is not None:
            self.counts.removed += 1
            await sandbox.end()
