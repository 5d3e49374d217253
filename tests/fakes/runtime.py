"""Sandboxes in memory: the port's promises over a scripted shell and a dict of files. Nothing is really run."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from openhands_sessions.core.errors import FileProblem, RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.runtime import (
    CommandDone,
    EditFile,
    Lost,
    OnOutput,
    Outcome,
    RunCommand,
    Running,
    Runtime,
    RuntimeSpec,
    Task,
    UnknownAction,
    Workspace,
)
from tests.fakes.editor import DictEditor, key_of
from tests.fakes.shell import ScriptedShell, ShellExit


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

    async def list(self, path: str = "") -> Sequence[str]:
        folder = key_of(path)
        below = [key[len(folder) :].lstrip("/") for key in self._files if key.startswith(folder + "/" * bool(folder))]
        if folder and not below:
            raise FileProblem(f"{path} is no folder")
        return sorted({name.partition("/")[0] + "/" * ("/" in name) for name in below})


@dataclass
class _Command:
    """One that runs or waits for its turn."""

    listeners: list[OnOutput] = field(default_factory=list)
    output: str = ""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Future[CommandDone] = field(default_factory=asyncio.Future)

    def show(self, text: str) -> None:
        self.output += text
        for listener in self.listeners:
            listener(text)


@dataclass
class _Sandbox:
    """What stands in for one conversation's executor."""

    shell: ScriptedShell
    editor: DictEditor
    cap: int
    term: int = -1
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    live: dict[str, _Command] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, key: str, task: RunCommand, environment: Mapping[str, str], timeout: float) -> None:
        command = self.live[key] = _Command()
        self.shell.variables.update(environment)
        self.tasks.add(asyncio.create_task(self._take_turn(key, task, command, timeout)))

    async def _take_turn(self, key: str, task: RunCommand, command: _Command, timeout: float) -> None:
        async with self.turn:
            done = await self._run(key, task, command, timeout)
        omitted = len(done.output) - 2 * self.cap
        if omitted > 0:
            head, tail = done.output[: self.cap], done.output[-self.cap :]
            cut = f"{head}\n[... {omitted} bytes left out ...]\n{tail}"
            done = replace(done, output=cut, omitted=omitted)
        self.outcomes[key] = done
        del self.live[key]
        command.done.set_result(done)

    async def _run(self, key: str, task: RunCommand, command: _Command, timeout: float) -> CommandDone:
        shell = self.shell
        done = CommandDone(output="", exit_code=None, ended="interrupted", working_dir=shell.working_dir)
        if command.stop.is_set():
            return done
        shell.variables["OHS_ACTION_ID"] = key
        shell.folder = shell.folder if task.cwd is None else key_of(task.cwd)
        running = asyncio.create_task(shell.run(task.command, command.show))
        stopped = asyncio.create_task(command.stop.wait())
        try:
            await asyncio.wait({running, stopped}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                done = replace(done, exit_code=running.result(), ended="exit")
            elif not stopped.done():
                done = replace(done, ended="timeout")
        except ShellExit as ended:
            shell.variables.clear()
            done = replace(done, exit_code=ended.exit_code, ended="shell_exit")
        finally:
            for each in (running, stopped):
                each.cancel()
            await asyncio.wait({running, stopped})
        return replace(done, output=command.output, working_dir=shell.working_dir)

    async def end(self) -> None:
        """As if the executor were killed: what ran is lost."""
        self.lost |= self.live.keys()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        for command in self.live.values():
            if not command.done.done():
                command.done.set_exception(RuntimeUnavailable("the sandbox ended while it was at work"))
                command.done.exception()  # whoever performs it hears of it; nobody has to
        self.live.clear()


class FakeRuntime:
    def __init__(self, spec: RuntimeSpec, sandbox: _Sandbox, timeout: float) -> None:
        self.files: Workspace = DictFiles(sandbox.shell.files)
        self._spec = spec
        self._sandbox = sandbox
        self._timeout = timeout

    async def perform(self, key: str, task: Task, on_output: OnOutput) -> Outcome:
        sandbox = self._admitted()
        if key in sandbox.lost:
            raise RuntimeUnavailable("the outcome is unknown")
        if key in sandbox.outcomes:
            return sandbox.outcomes[key]
        if isinstance(task, EditFile):
            return sandbox.outcomes.setdefault(key, sandbox.editor.apply(task))
        if key not in sandbox.live:
            limit = self._timeout if task.timeout is None else task.timeout
            if task.cwd is not None:
                key_of(task.cwd)
            sandbox.start(key, task, self._spec.environment, limit)
        command = sandbox.live[key]
        command.listeners.append(on_output)
        try:
            return await asyncio.shield(command.done)
        finally:
            command.listeners.remove(on_output)

    async def inquire(self, key: str) -> Outcome | Running | UnknownAction | Lost:
        sandbox = self._admitted()
        if key in sandbox.lost:
            return Lost()
        return sandbox.outcomes.get(key) or (Running() if key in sandbox.live else UnknownAction())

    async def send_input(self, text: str) -> bool:
        sandbox = self._admitted()
        if not sandbox.live:
            return False
        if "\x03" in text:
            next(iter(sandbox.live.values())).stop.set()
        else:
            sandbox.shell.typed.put_nowait(text)
        return True

    async def interrupt(self, key: str) -> None:
        with suppress(RuntimeUnavailable):
            sandbox = self._admitted()
            if key in sandbox.live:
                sandbox.live[key].stop.set()
            elif key not in sandbox.outcomes and key not in sandbox.lost:
                folder = sandbox.shell.working_dir
                done = CommandDone(output="", exit_code=None, ended="interrupted", working_dir=folder)
                sandbox.outcomes[key] = done

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
    ) -> None:
        self._replies = replies or {}
        self._holds = holds or {}
        self._command_timeout = command_timeout
        self._cap = cap
        self._sandboxes: dict[ConversationId, _Sandbox] = {}

    @asynccontextmanager
    async def open(self, spec: RuntimeSpec) -> AsyncIterator[Runtime]:
        files: dict[str, bytes] = {}
        new = _Sandbox(ScriptedShell(files, self._replies, self._holds), DictEditor(files), self._cap)
        yield FakeRuntime(spec, self._sandboxes.setdefault(spec.sid, new), self._command_timeout)

    async def lose(self, sid: ConversationId) -> None:
        """Kill the executor: whatever runs is lost, and what was done stays known."""
        await self._sandboxes[sid].end()

    async def discard(self, sid: ConversationId) -> None:
        sandbox = self._sandboxes.pop(sid, None)
        if sandbox is not None:
            await sandbox.end()
