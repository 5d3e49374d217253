"""Starts the real server as a process, kills it, starts it again, and checks that no process is left."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.ids import ConversationId, folder_name
from tests.support.ports import free_port
from tests.support.processes import alive, ended

READY_WITHIN = 60.0
END_WITHIN = 60.0
LINES_WITHIN = 20.0
_LOOK_AGAIN = 0.01
"""Seconds between two looks at a socket or a file: only these say that the server listens, or has written a line."""
PLAIN = ("-m", "openhands_sessions", "serve")
FAILING = ("-m", "tests.support.failing_server")
UNLIMITED = {"OHS_LIMITS__CREATES_PER_MINUTE": "0", "OHS_LIMITS__REQUESTS_PER_SECOND": "0"}
"""Tests ask faster than people do."""


class ServerEnded(Exception):
    """The server ended before it was ready."""


class Server:
    """One data folder and one port, and the process that serves them, if any."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str], program: Sequence[str]) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.settings = settings
        self._program = program
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        base = self.settings.get("OHS_SERVER__BASE_PATH", "").strip("/")
        return f"http://127.0.0.1:{self.port}{'/' if base else ''}{base}"

    @property
    def pid(self) -> int:
        return self._running.pid

    def runs(self, pid: int) -> bool:
        """Whether this process is the server's, and has not ended."""
        return self._running.pid == pid and self._running.returncode is None

    @property
    def log(self) -> str:
        """What the servers of this folder have written to standard error."""
        path = self.data_dir.with_suffix(".log")
        return path.read_text() if path.exists() else ""

    async def logged(self, words: str, count: int) -> list[dict[str, Any]]:
        """The lines of its log, which is in JSON, that have these words: waits until there are `count`."""
        async with asyncio.timeout(LINES_WITHIN):
            while True:
                found = [json.loads(line) for line in self.log.splitlines() if words in line]
                if len(found) >= count:
                    return found
                await asyncio.sleep(_LOOK_AGAIN)

    def script(self, name: str, text: str) -> str:
        """Put a script where scripted models are looked for; the model's name."""
        folder = self.data_dir / "scripts"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(text)
        return f"scripted:{name}"

    def workspace(self, sid: str) -> Path:
        """Where a conversation's files are."""
        return self.data_dir / "runtimes" / folder_name(ConversationId(sid)) / "workspace"

    async def start(self, *options: str) -> None:
        """Start it; returns when it is ready."""
        await self.launch(*options)
        async with asyncio.timeout(READY_WITHIN):
            await self._answers()

    async def launch(self, *options: str) -> None:
        """Start it and wait for nothing."""
        words = ["--data-dir", str(self.data_dir), "--port", str(self.port), *options]
        with self.data_dir.with_suffix(".log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._program,
                *words,
                env={
                    **os.environ,
                    "OHS_LOG__FORMAT": "json",
                    "OHS_AUTH__KIND": self._auth,
                    **UNLIMITED,
                    **self.settings,
                },
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
            )

    async def killed(self) -> None:
        """Kill it with SIGKILL, if it has not done so itself already."""
        self.kill()
        await self.ended()

    def kill(self) -> None:
        """As `killed`, without waiting."""
        if self._running.returncode is None:
            self._running.kill()

    def pause(self) -> None:
        """Have it stand still, with SIGSTOP."""
        self._running.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on, if it does not."""
        if self._running.returncode is None:
            self._running.send_signal(signal.SIGCONT)

    async def stopped(self) -> int:
        """End it with SIGTERM; its exit code."""
        if self._running.returncode is None:
            self._running.terminate()
        return await self.ended()

    async def ended(self) -> int:
        """Wait for its end; its exit code."""
        async with asyncio.timeout(END_WITHIN):
            return await self._running.wait()

    async def clean_up(self) -> None:
        """End the server and every sandbox of the folder."""
        if self._process is not None:
            await self.killed()
        await discard_sandboxes(self.data_dir)

    def memory(self) -> float:
        """Resident memory in MB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise ProcessLookupError

    @property
    def _auth(self) -> str:
        """Open, unless the settings name a key or a kind."""
        return "session_key" if "OHS_SERVER__SESSION_API_KEY" in self.settings else "open"

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "the server was never started"
        return self._process

    async def _answers(self) -> None:
        async with aiohttp.ClientSession() as http:
            while self._running.returncode is None:
                try:
                    async with http.get(f"{self.url}/health/ready") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(_LOOK_AGAIN)
        raise ServerEnded(f"the server ended with code {self._running.returncode} before it was ready: {self.log}")


@asynccontextmanager
async def prepared_server(
    data_dir: Path, settings: Mapping[str, str] | None = None, *, program: Sequence[str] = PLAIN
) -> AsyncIterator[Server]:
    """A server that is not started yet; the end of the block leaves no process behind, or fails."""
    data_dir.mkdir(parents=True, exist_ok=True)
    server = Server(data_dir, settings or {}, program)
    try:
        yield server
    finally:
        await server.clean_up()
        assert not await still_running(processes_of(data_dir)), "processes were left behind"


@asynccontextmanager
async def running_server(
    data_dir: Path, settings: Mapping[str, str] | None = None, *, program: Sequence[str] = PLAIN
) -> AsyncIterator[Server]:
    """As `served`, and started."""
    async with prepared_server(data_dir, settings, program=program) as server:
        await server.start()
        yield server


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """A process of this machine."""

    pid: int
    command: str
    folder: str = field(default="")


def processes_of(folder: Path) -> list[ProcessInfo]:
    """Every live process that works in a folder or names it, but this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            there = str((entry / "cwd").readlink())
        except OSError:
            continue
        if str(folder) in command or f"{there}/".startswith(f"{folder}/"):
            found.append(ProcessInfo(int(entry.name), command, there))
    return found


async def still_running(processes: Sequence[ProcessInfo], within: float = 5.0) -> list[ProcessInfo]:
    """Those that have not ended after so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            for process in processes:
                await ended(process.pid)
    return [process for process in processes if alive(process.pid)]


async def discard_sandboxes(data_dir: Path) -> None:
    """End what the local sandboxes of a data folder run, which no server has open any more."""
    if (data_dir / "sessions.db").exists():
        runtimes = LocalRuntimes(data_dir / "runtimes")
        for sid in await _conversations(data_dir):
            await runtimes.discard(sid)


async def _conversations(data_dir: Path) -> list[ConversationId]:
    found = []
    async with open_sqlite(data_dir / "sessions.db") as store:
        before = None
        while rows := await store.conversations.page(None, limit=100, before=before):
            found += [row.id for row in rows]
            before = (rows[-1].created_at, rows[-1].id)
    return found
