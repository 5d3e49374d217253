"""Sandboxes that are folders and processes of this machine: not isolated from it."""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from openhands_sessions.adapters.runtimes.executor_client.connection import ExecutorConnection
from openhands_sessions.adapters.runtimes.executor_client.folder_files import FolderFiles
from openhands_sessions.adapters.runtimes.executor_client.handshake import connect_socket, is_responsive
from openhands_sessions.adapters.runtimes.executor_client.journal import recorded_outcome
from openhands_sessions.adapters.runtimes.executor_client.journal_identity import JournalIdentity
from openhands_sessions.adapters.runtimes.executor_client.runtime import ExecutorRuntime
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.adapters.runtimes.local.process import END_SECONDS, end_executor
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.executor.workspace import Workspace
from openhands_sessions.ports.runtime import Lost, Outcome, Runtime, RuntimeSpec, UnknownAction

EXECUTOR = Path(__file__).resolve().parents[3] / "executor"
_START_SECONDS = 20.0
_LOOK_SECONDS = 5.0
_ENDINGS = 3
"""How often an executor is ended that was just being started."""
_THREADS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalLimits:
    """What a sandbox may use: times in seconds, output in bytes kept of a command's beginning and end. An executor
    that takes longer than `answer_within` for what takes no work, and then again, is ended; it ends by itself when
    nobody has been connected for `idle_timeout`, 0 for never."""

    answer_within: float = 10.0
    command_timeout: float = 600.0
    idle_timeout: float = 3600.0
    output_head: int = 64 << 10
    output_tail: int = 64 << 10


class LocalRuntimes:
    """One folder below `root` per conversation, and one executor per folder that needs one."""

    isolated = False

    def __init__(self, root: Path, *, limits: LocalLimits | None = None, search_path: str | None = None) -> None:
        self._root = root.absolute()
        self._limits = limits or LocalLimits()
        self._search_path = _own_search_path() if search_path is None else search_path
        self._limiter = ThreadLimiter(_THREADS)
        self._ipython: bool | None = None

    @contextlib.asynccontextmanager
    async def open(self, spec: RuntimeSpec) -> AsyncIterator[Runtime]:
        paths = self._paths(spec.sid)
        await self._limiter.run(self._prepare, paths)
        host = _LocalReach(paths, spec.term, self._limits, self._search_path, self._limiter)
        files = FolderFiles(Workspace(paths.workspace), self._limiter)
        identity = JournalIdentity(paths, self._limiter)
        runtime = ExecutorRuntime(
            spec,
            host,
            files,
            identity,
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
        paths = self._paths(sid)
        try:
            for _ in range(_ENDINGS):
                await end_executor(paths.socket)
                if await self._limiter.run(paths.delete, END_SECONDS):
                    return
        except OSError as error:
            raise RuntimeUnavailable(f"the workspace could not be deleted: {error.strerror}") from error
        raise RuntimeUnavailable("the sandbox could not be ended")

    def _paths(self, sid: ConversationId) -> SandboxPaths:
        return SandboxPaths(self._root / folder_name(sid))

    def _prepare(self, paths: SandboxPaths) -> None:
        if not Path("/proc/self/fd").is_dir():
            raise RuntimeUnavailable("the local runtime needs Linux with /proc")
        if shutil.which("bash", path=self._search_path) is None:
            raise RuntimeUnavailable("bash was not found in PATH: install it, then try again")
        try:
            paths.make()
        except OSError as error:
            raise RuntimeUnavailable(
                f"the workspace's folder cannot be used ({error.strerror}): check its owner, its mode and the disk"
            ) from error


class _LocalReach:
    """Reaches the executor of a folder on this machine."""

    def __init__(
        self, paths: SandboxPaths, term: int, limits: LocalLimits, search_path: str, limiter: ThreadLimiter
    ) -> None:
        self._paths = paths
        self._term = term
        self._limits = limits
        self._search_path = search_path
        self._limiter = limiter

    async def connect(self) -> ExecutorConnection | None:
        return await connect_socket(self._paths.socket, term=self._term, seconds=self._limits.answer_within)

    async def end_unresponsive(self) -> None:
        if not await is_responsive(connect_socket(self._paths.socket, term=None), self._limits.answer_within):
            await end_executor(self._paths.socket)

    async def start(self) -> None:
        await self._limiter.run(self._launch)

    async def claim(self) -> None:
        try:
            await self._limiter.run(self._paths.raise_term, self._term)
        except OSError as error:
            raise RuntimeUnavailable(f"the workspace's folder cannot be written: {error.strerror}") from error

    async def recorded_outcome(self, key: str) -> Outcome | UnknownAction | Lost | None:
        return await self._limiter.run(recorded_outcome, self._paths.state, key)

    def _launch(self) -> None:
        """Start an executor, which sees for itself whether one runs already, and return when it can be reached."""
        options = {
            "--socket": self._paths.socket,
            "--workspace": self._paths.workspace,
            "--state": self._paths.state,
            "--idle-timeout": self._limits.idle_timeout,
            "--head": self._limits.output_head,
            "--tail": self._limits.output_tail,
        }
        words = [str(word) for option in options.items() for word in option]
        try:
            self._paths.make()
            subprocess.run(
                [sys.executable, "-I", "-S", str(EXECUTOR), *words, "--detach"],
                check=True,
                timeout=_START_SECONDS,
                env=_environment(self._search_path, self._paths.workspace),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise RuntimeUnavailable(
                f"the sandbox could not be started ({type(error).__name__}): check free memory and disk"
            ) from error


def _finds_ipython(search_path: str) -> bool:
    """Whether the python3 that commands find has IPython; looked for, not imported."""
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
    """PATH without this program's own virtual environment: what a command installs must not land in it."""
    own = Path(sys.prefix) / "bin" if sys.prefix != sys.base_prefix else None
    parts = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(part for part in parts if part and Path(part) != own)


def _environment(search_path: str, workspace: Path) -> dict[str, str]:
    """All that an executor gets of our environment; nothing else of it, for it holds keys."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a number without a name, as containers have
        user = str(os.getuid())
    return {
        "PATH": search_path,
        "HOME": str(workspace),
        "USER": user,
        "LOGNAME": user,
        "LANG": "C.UTF-8",
        "SHELL": shutil.which("bash", path=search_path) or "/bin/bash",
    }
