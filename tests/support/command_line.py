"""The command line as users run it: over pipes and on a terminal."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from openhands_sessions.executor.screen import TerminalScreen
from openhands_sessions.executor.terminal import COLUMNS, ROWS

SECONDS = 90.0
PROGRAM = (sys.executable, "-m", "openhands_sessions")
_ON_A_TERMINAL = (
    # A suite that runs in a shell's background ignores both, and so would the program.
    "import fcntl, os, signal, sys, termios; signal.signal(signal.SIGINT, signal.SIG_DFL);"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL); os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, '-m', 'openhands_sessions', *sys.argv[1:]])"
)
_CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass(frozen=True)
class CommandLine:
    """How the program is called: with this data folder, and these variables besides."""

    data_dir: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        own = {"OHS_DATA_DIR": str(self.data_dir), "OHS_RUNTIME__EXECUTOR_IDLE_TIMEOUT": "1", "TERM": "xterm"}
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
        return kept | own | dict(self.variables)

    async def run(self, *arguments: str, typed: str = "") -> "Done":
        """Run to the end, with this on standard input."""
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *arguments,
            env=self.environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(SECONDS):
                out, err = await process.communicate(typed.encode())
        finally:
            await _ended(process)
        return Done(process.returncode or 0, out.decode(), err.decode())

    @asynccontextmanager
    async def start(self, *arguments: str) -> AsyncIterator["RunningProgram"]:
        """A program that goes on, over pipes."""
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *arguments,
            env=self.environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield RunningProgram(process)
        finally:
            await _ended(process)

    @asynccontextmanager
    async def terminal(self, *arguments: str) -> AsyncIterator["Terminal"]:
        """A program on a terminal of its own."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _ON_A_TERMINAL, *arguments),
            env=self.environ,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        terminal = Terminal(process, ours)
        try:
            yield terminal
        finally:
            await _ended(process)
            terminal.close()


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


class RunningProgram:
    """A program that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self, text: str, *, on_stderr: bool = False) -> str:
        """Wait for a line with this text, and give it."""
        stream = self.process.stderr if on_stderr else self.process.stdout
        assert stream is not None
        heard = []
        async with asyncio.timeout(SECONDS):
            while line := (await stream.readline()).decode():
                heard.append(line)
                if text in line:
                    return line
        raise AssertionError(f"{text!r} was never said, but: {''.join(heard)}")

    async def code(self) -> int:
        """Wait for the end."""
        async with asyncio.timeout(SECONDS):
            return await self.process.wait()

    async def rest(self) -> tuple[str, str]:
        """Wait for the end; what it said until then, on both ways."""
        async with asyncio.timeout(SECONDS):
            out, err = await self.process.communicate()
        return out.decode(), err.decode()


class Terminal:
    """What a person sees and types. `shown` is all text so far, without colours."""

    def __init__(self, process: asyncio.subprocess.Process, descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._raw = b""
        self._news = asyncio.Event()
        self._place = 0
        self._closed = False
        os.set_blocking(descriptor, False)
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    @property
    def shown(self) -> str:
        return _CODES.sub("", self._raw.decode(errors="replace")).replace("\r\n", "\n")

    async def shows(self, text: str) -> None:
        """Wait until this is shown, behind what was waited for before."""
        try:
            async with asyncio.timeout(SECONDS):
                while (place := self.shown.find(text, self._place)) < 0:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} was never shown, but: {self.shown[self._place :]}") from None
        self._place = place + len(text)

    @property
    def lines(self) -> list[str]:
        """What the terminal shows at this moment, without the empty lines at the end."""
        screen = TerminalScreen("", "")
        screen.feed("\x1b[1;1H" + self._raw.decode(errors="replace"))
        return [line.rstrip() for line in screen.text().rstrip().split("\n")]

    @property
    def raw(self) -> bytes:
        """All that it was sent."""
        return self._raw

    async def prompts(self, prompt: str = ">") -> list[str]:
        """Wait until the last line asks for input, with nothing typed, and give the lines."""
        return await self.looks(lambda lines: lines[-1] == prompt)

    async def looks(self, reached: Callable[[list[str]], bool]) -> list[str]:
        """Wait until the lines are so, and give them."""
        try:
            async with asyncio.timeout(SECONDS):
                while not reached(self.lines):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError("it never looked so, but:\n" + "\n".join(self.lines)) from None
        return self.lines

    def types(self, text: str) -> None:
        """At most what a terminal takes at once, a few thousand characters."""
        data = text.encode()
        assert os.write(self._descriptor, data) == len(data)

    async def code(self) -> int:
        async with asyncio.timeout(SECONDS):
            return await self.process.wait()

    def close(self) -> None:
        """Take the terminal away. May be called twice."""
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)

    def _read(self) -> None:
        try:
            self._raw += os.read(self._descriptor, 65_536)
        except OSError:  # the other end is closed
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self._news.set()


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
    # the transport is closed by the loop a moment after the process
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
