"""Cells of Python, run one after another in one IPython process, which keeps their variables."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Callable

from .processes import (
    EXIT,
    KILLED,
    SHELL_EXIT,
    TIMEOUT,
    ChildReaper,
    CommandRequest,
    ExitStatus,
    descendants,
    signal_all,
    signal_group,
    wait_any,
)

GRACE = 0.3
_ROUNDS = 2
_PIECE = 64 << 10
_LOST = b"\n[Python was ended with the cell; its variables are gone]\n"

OnData = Callable[[bytes], None]


class IPythonCells:
    """Starts IPython for the first cell, and again after a cell ended it."""

    def __init__(self, reaper: ChildReaper, *, workspace: Path, state: Path) -> None:
        self._reaper = reaper
        self._workspace = str(workspace)
        self._file = state / "cell"
        self._kernel: _KernelProcess | None = None

    async def run(self, request: CommandRequest, on_data: OnData, stop: asyncio.Future[str]) -> ExitStatus:
        """Run one cell; the result of `stop` is the reason to end it. The exit code is 1 for a cell that raised. Raises
        OSError where Python cannot be started."""
        if self._kernel is not None and self._kernel.ended.done():  # between two cells
            self._kernel.close()
            self._kernel = None
            on_data(_LOST)
        kernel = self._kernel = self._kernel or await self._started()
        self._file.write_bytes(request.command.encode("utf-8", "replace"))
        environment = {**request.environment, "OHS_ACTION_ID": request.key}
        kernel.on_data = on_data
        answer = kernel.ask({"file": str(self._file), "environment": environment})
        try:
            forced = await _until_answered(kernel, answer, request.timeout, stop)
            kernel.drain()
            if not kernel.ended.done():
                ok = answer.done() and answer.result()
                return ExitStatus(forced or EXIT, None if forced else int(not ok), kernel.pid)
            self._kernel = None
            return _lost(kernel, forced, on_data)
        finally:
            kernel.on_data = _discard_output
            if self._kernel is None:
                kernel.close()

    def close(self) -> None:
        if self._kernel is not None:
            self._kernel.close()

    async def _started(self) -> _KernelProcess:
        kernel = _KernelProcess(self._reaper, self._workspace)
        await kernel.connect()
        return kernel


class _KernelProcess:
    """The process and its three pipes."""

    def __init__(self, reaper: ChildReaper, cwd: str) -> None:
        python = _python()
        self._output, output = os.pipe()
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        words = [python, "-u", "-c", _source(), str(orders), str(answers)]
        try:
            self._process = subprocess.Popen(
                words,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(orders, answers),
                start_new_session=True,
            )
        finally:
            for descriptor in (output, orders, answers):
                os.close(descriptor)
        self.pid = self._process.pid
        self.on_data: OnData = _discard_output
        self.ended = reaper.watch(self.pid, apart=True)
        self.ended.add_done_callback(self._note_end)

    async def connect(self) -> None:
        loop = asyncio.get_event_loop()
        for descriptor in (self._output, self._orders):
            os.set_blocking(descriptor, False)
        loop.add_reader(self._output, self._read)
        self._outcome_of = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(self._outcome_of)
        self._transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(self._answers, "rb", 0))

    def ask(self, request: dict[str, Any]) -> asyncio.Task[bool]:
        with contextlib.suppress(BrokenPipeError):  # it has ended; its `ended` is awaited elsewhere
            os.write(self._orders, json.dumps(request).encode() + b"\n")
        return asyncio.get_event_loop().create_task(self._answer())

    def drain(self) -> None:
        """Read what it has printed so far."""
        while self._read():
            pass

    def kill(self) -> None:
        if not self.ended.done():
            signal_all(descendants([self.pid]), signal.SIGKILL)

    def close(self) -> None:
        asyncio.get_event_loop().remove_reader(self._output)
        for descriptor in (self._output, self._orders):
            os.close(descriptor)
        self._transport.close()

    async def _answer(self) -> bool:
        line = await self._outcome_of.readline()
        if not line:
            await asyncio.shield(self.ended)
        return line.strip() == b'{"ok": true}'

    def _read(self) -> bool:
        try:
            data = os.read(self._output, _PIECE)
        except BlockingIOError:
            return False
        if data:
            self.on_data(data)
        else:
            asyncio.get_event_loop().remove_reader(self._output)
        return bool(data)

    def _note_end(self, ended: asyncio.Future[int]) -> None:
        if not ended.cancelled():
            self._process.returncode = ended.result()


def _python() -> str:
    """The first python3 in PATH. Raises FileNotFoundError."""
    for folder in os.get_exec_path():  # shutil.which brings modules that nothing else needs
        python = Path(folder, "python3")
        if python.is_file() and os.access(python, os.X_OK):
            return str(python)
    raise FileNotFoundError(2, "there is no python3 in the sandbox")


def _source() -> str:
    """The source of the program, also from inside a zipapp."""
    loader: Any = globals()["__loader__"]
    text: bytes = loader.get_data(str(Path(__file__).with_name("ipython_kernel.py")))
    return text.decode()


async def _until_answered(
    kernel: _KernelProcess, answer: asyncio.Task[bool], timeout: float | None, stop: asyncio.Future[str]
) -> str | None:
    """Wait for the end of the cell or of Python; returns the reason if the cell was ended by force."""
    await wait_any(timeout, answer, kernel.ended, stop)
    if answer.done() or kernel.ended.done():
        await asyncio.wait([answer])
        return None
    forced = stop.result() if stop.done() else TIMEOUT
    for _ in range(_ROUNDS):
        signal_group(kernel.pid, signal.SIGINT)
        await wait_any(GRACE, answer, kernel.ended)
        if answer.done() or kernel.ended.done():
            break
    else:
        kernel.kill()
    await asyncio.wait([answer])
    return forced


def _lost(kernel: _KernelProcess, forced: str | None, on_data: OnData) -> ExitStatus:
    code = kernel.ended.result()
    if forced is None and code == 127:  # IPython is missing, and it has printed so
        return ExitStatus(EXIT, code, kernel.pid)
    on_data(_LOST)
    reason = forced or (SHELL_EXIT if code >= 0 else KILLED)
    return ExitStatus(reason, code if reason == SHELL_EXIT else None, kernel.pid)


def _discard_output(data: bytes) -> None:
    """Discard what threads of earlier cells print between two cells."""
