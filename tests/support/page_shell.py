"""Runs the shell commands of a page of the docs."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

SHIM = f'#!/bin/sh\nexec {sys.executable} -m openhands_sessions "$@"\n'


class PageShell:
    """Runs blocks of a page in a folder, which it makes; `openhands-sessions` is on its path."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        folder.mkdir()
        program = folder / "openhands-sessions"
        program.write_text(SHIM)
        program.chmod(0o755)
        self._environ = {**os.environ, **variables, "PATH": f"{folder}:{os.environ['PATH']}"}

    async def run(self, words: str) -> str:
        """What it prints. Fails with the commands."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", words),
            cwd=self.folder,
            env=self._environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()


def variables_of(block: str) -> dict[str, str]:
    """The variables that an `ini` block sets."""
    return dict(line.split("=", 1) for line in block.splitlines())
