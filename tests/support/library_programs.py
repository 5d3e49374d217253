"""Python programs that use the library, as processes of their own, with scripted models."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HEAD = """\
import asyncio, os, signal, sys, threading
from openhands_sessions import Agent, Session, SessionBusy, TurnFailed, tool

def session(name="my-id", *tools, **given):
    agent = Agent(name="helper", llm="scripted:play", tools=tools)
    return Session(name, **{"agent": agent, "store": os.environ.get("STORE"), **given})

def say(text):
    print(text, flush=True)

"""


@dataclass(frozen=True, kw_only=True)
class LibraryPrograms:
    """Programs that share a folder, and the database in it: or, with `data_dir`, that data folder."""

    folder: Path
    data_dir: Path | None = None

    def script(self, text: str) -> None:
        """What `scripted:play` plays."""
        scripts = (self.data_dir or self.folder / "x.db.files") / "scripts"
        scripts.mkdir(parents=True, exist_ok=True)
        (scripts / "play.yaml").write_text(f"name: play\n{text}")

    def environ(self) -> Mapping[str, str]:
        place = {"OHS_DATA_DIR": str(self.data_dir)} if self.data_dir else {"STORE": f"sqlite:///{self.folder}/x.db"}
        return {**os.environ, **place, "FOLDER": str(self.folder)}

    async def start(self, text: str) -> Process:
        """A program, which begins with HEAD. It is ended by the test, or ends by itself."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", HEAD + text),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self.environ(),
            cwd=self.folder,
        )

    async def run(self, text: str, code: int = 0) -> str:
        """What a program prints that ends with this code."""
        process = await self.start(text)
        out, err = await process.communicate()
        assert process.returncode == code, err.decode()
        return out.decode()


async def line_of(process: Process) -> str:
    """The next line that it prints; what it says of errors where it has ended."""
    assert process.stdout is not None
    assert process.stderr is not None
    line = await process.stdout.readline()
    return line.decode().rstrip("\n") if line else f"ended: {(await process.stderr.read()).decode()}"


async def killed(process: Process) -> None:
    """End it at once."""
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    await process.wait()
