"""Sandboxes that are folders and processes of this machine: not isolated from it."""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from openhands_sessions.adapters.runtimes.executor_client.connection import ExecutorConnection
from openhands_sessions.adapters.runtimes.executor_client.files import FolderFiles
from openhands_sessions.adapters.runtimes.executor_client.journal import JournalIdentity
from openhands_sessions.adapters.runtimes.executor_client.runtime import ExecutorRuntime
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.adapters.runtimes.local.storage import FolderStorage
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.executor.workspace import WorkspaceFolder
from openhands_sessions.ports.runtime import Lost, Outcome, Runtime, RuntimeSpec, SandboxCounts, UnknownAction

log = structlog.get_logger(__name__)

EXECUTOR = Path(__file__).resolve().parents[3] / "executor"
_START_SECONDS = 20.0
_LOOK_SECONDS = 5.0
_DELETE_TRIES = 3
"""Another server may start an executor between its end and the deletion."""
_THREADS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalLimits:
    """What a sandbox may use: times in seconds, output in bytes kept of a command's beginning and end. An executor
    that twice takes longer than `answer_within` for an answer that needs no work is killed. It ends by itself after
    `idle_timeout` without a connection; 0 for never."""

    answer_within: float = 10.0
    command_timeout: float = 600.0
    idle_timeout: float = 3600.0
    output_head: int = 64 << 10
    output_tail: int = 64 << 10


class LocalRuntimes:
    """One folder below `root` per conversation, and one executor per folder that needs one."""

    isolated = False

    def __init__(self, root: Path, *, limits: LocalLimits | None = None, search_path: str | None = None) -> None:
        self.counts = SandboxCounts()
        self._root = root.absolute()
        self._limits = limits or LocalLimits()
        self._search_path = _own_search_path() if search_path is None else search_path
        self._limiter = ThreadLimiter(_THREADS)
        self._ipython: bool | None = None

    @contextlib.asynccontextmanager
    async def open(self, spec: RuntimeSpec) -> AsyncIterator[Runtime]:
        storage = self._storage(spec.sid)
        await self._limiter.run(_check_machine, self._search_path)
        await storage.prepare()
        runtime = ExecutorRuntime(
            spec,
            _LocalHost(spec.sid, storage, spec.term, partial(self._start, storage.paths)),
            FolderFiles(WorkspaceFolder(storage.paths.workspace), self._limiter),
            JournalIdentity(storage.paths.folder, self._limiter),
            command_timeout=self._limits.command_timeout,
            output_limit=self._limits.output_head + self._limits.output_tail,
        )
        try:
            yield runtime
        finally:
            await runtime.close()

    async def has_ipython(self) -> bool:
        if self._ipython is None:
            self._ipython = await self._limiter.run(_finds_ipython, self._search_path)
        return self._ipython

    async def discard(self, sid: ConversationId) -> None:
        storage = self._storage(sid)
        there = await self._limiter.run(storage.paths.folder.exists)
        for _ in range(_DELETE_TRIES):
            await storage.kill()
            if await storage.delete():
                if there:
                    self.counts.removed += 1
                    log.info("a sandbox was removed", conversation_id=sid, why="it was asked for")
                return
        raise RuntimeUnavailable("the sandbox could not be ended")

    def _storage(self, sid: ConversationId) -> FolderStorage:
        paths = SandboxPaths(self._root / folder_name(sid))
        return FolderStorage(paths, self._limiter, answer_within=self._limits.answer_within)

    async def _start(self, paths: SandboxPaths) -> None:
        await self._limiter.run(self._launch, paths)
        self.counts.made += 1

    def _launch(self, paths: SandboxPaths) -> None:
        """Start an executor, which ends at once where another runs; return when clients can connect."""
        options = {
            "--socket": paths.socket,
            "--workspace": paths.workspace,
            "--state": paths.state,
            "--idle-timeout": self._limits.idle_timeout,
            "--head": self._limits.output_head,
            "--tail": self._limits.output_tail,
        }
        words = [str(word) for option in options.items() for word in option]
        try:
            subprocess.run(
                [sys.executable, "-I", "-S", str(EXECUTOR), *words, "--detach"],
                check=True,
                timeout=_START_SECONDS,
                env=_environment(self._search_path, paths.workspace),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # its end tells that it has ended: else subprocess looks every 50 ms
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise RuntimeUnavailable(
                f"the sandbox could not be started ({type(error).__name__}): check free memory and disk"
            ) from error


class _LocalHost:
    """Starts the executor of a folder on this machine."""

    def __init__(
        self, sid: ConversationId, storage: FolderStorage, term: int, launch: Callable[[], Awaitable[None]]
    ) -> None:
        self._sid = sid
        self._storage = storage
        self._term = term
        self._launch = launch

    async def connect(self) -> ExecutorConnection | None:
        return await self._storage.connect(self._term)

    async def end_unresponsive(self) -> None:
        if not await self._storage.is_responsive():
            await self._storage.kill()

    async def start(self) -> None:
        await self._storage.prepare()
        await self._launch()
        log.info("a sandbox was started", conversation_id=self._sid, why="there is something to run")

    async def claim(self) -> None:
        await self._storage.claim(self._term)

    async def recorded_outcome(self, key: str) -> Outcome | UnknownAction | Lost | None:
        return await self._storage.recorded_outcome(key)


def _check_machine(search_path: str) -> None:
    if not Path("/proc/self/fd").is_dir():
        raise RuntimeUnavailable("the local runtime needs Linux with /proc")
    if shutil.which("bash", path=search_path) is None:
        raise RuntimeUnavailable("bash was not found in PATH: install it, then try again")


def _finds_ipython(search_path: str) -> bool:
    """Whether the python3 in PATH has IPython; it is searched for, not imported."""
    python = shutil.which("python3", path=search_path)
    if python is None:
        return False
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('IPython') is None)"
    try:
        found = subprocess.run(
            [python, "-c", look],
            timeout=_LOOK_SECONDS,
            env={"PATH": search_path},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return found.returncode == 0


def _own_search_path() -> str:
    """PATH without the server's virtual environment: commands must not install anything into it."""
    own = Path(sys.prefix) / "bin" if sys.prefix != sys.base_prefix else None
    parts = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(part for part in parts if part and Path(part) != own)


def _environment(search_path: str, workspace: Path) -> dict[str, str]:
    """The executor's environment. Nothing else of the server's is passed on: it holds keys."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a uid without a name, as in containers
        user = str(os.getuid())
    return {
        "PATH": search_path,
        "HOME": str(workspace),
        "USER": user,
        "LOGNAME": user,
        "LANG": "C.UTF-8",
        "SHELL": shutil.which("bash", path=search_path) or "/bin/bash",
    }
