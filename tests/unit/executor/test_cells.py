"""Cells of Python in a real IPython: what they print, what they keep, and how they are ended."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.local.runtimes import LocalLimits, LocalRuntimes
from openhands_sessions.ports.runtime import CommandDone, RunCell, Runtime
from tests.support.processes import ended
from tests.support.sandboxes import SID, Hearing, key, opened, run

SEARCH_PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"


@pytest.fixture
async def runtimes(tmp_path: Path) -> AsyncIterator[LocalRuntimes]:
    """That commands find the IPython of the tests."""
    limits = LocalLimits(idle_timeout=60, output_head=2000, output_tail=2000)
    runtimes = LocalRuntimes(tmp_path / "sandboxes", limits=limits, search_path=SEARCH_PATH)
    try:
        async with asyncio.timeout(60):
            yield runtimes
    finally:
        await runtimes.discard(SID)


async def cell(
    runtime: Runtime, number: int, code: str, hearing: Hearing | None = None, timeout: float | None = None
) -> CommandDone:
    done = await runtime.perform(key(number), RunCell(code=code, timeout=timeout), hearing or Hearing())
    assert isinstance(done, CommandDone)
    return done


async def test_cells_keep_their_variables_and_tell_what_they_print(runtime: Runtime) -> None:
    done = await cell(runtime, 0, "import os\nx = 20\nprint('printed', flush=False)\nos.system('echo shelled')\nx + 1")
    assert (done.exit_code, done.ended) == (0, "exit")
    assert "printed\nshelled\n" in done.output
    assert "21" in done.output
    assert (await cell(runtime, 1, "print(x * 2); print(os.environ['OHS_ACTION_ID'])")).output == f"40\n{key(1)}\n"
    done = await cell(runtime, 2, "1 / 0")
    assert done.exit_code == 1
    assert "ZeroDivisionError" in done.output
    assert "\x1b" not in done.output
    assert (await cell(runtime, 3, "!echo $((40 + 2))")).output.strip() == "42"
    assert (await cell(runtime, 4, "input()")).exit_code == 1
    assert (await cell(runtime, 5, "def f(:")).exit_code == 1
    assert (await run(runtime, 6, "cat a 2>&1; pwd")).output.endswith("workspace\n")


async def test_a_known_cell_is_not_run_again(runtime: Runtime) -> None:
    await cell(runtime, 0, "runs = 0")
    first = await cell(runtime, 1, "runs += 1; print(runs)")
    assert await cell(runtime, 1, "runs += 1; print(runs)") == first == await runtime.inquire(key(1))
    assert (await cell(runtime, 2, "print(runs)")).output == "1\n"


async def test_output_comes_while_a_cell_runs_and_a_stop_leaves_the_variables(runtime: Runtime) -> None:
    hearing = Hearing()
    running = asyncio.create_task(cell(runtime, 0, "import time\nkept = 7\nprint('begun')\ntime.sleep(60)", hearing))
    await hearing.hears("begun")
    await runtime.interrupt(key(0))
    done = await running
    assert (done.ended, done.exit_code) == ("interrupted", None)
    assert (await cell(runtime, 1, "print(kept)")).output == "7\n"


async def test_a_cell_over_its_limit_is_ended_with_what_it_started(runtime: Runtime) -> None:
    code = "import subprocess\nprint(child := subprocess.Popen(['sleep', '60']).pid, flush=True)\nwhile True: pass"
    await cell(runtime, 0, "pass")  # starts Python, which may take longer than the limits below
    done = await cell(runtime, 1, code, timeout=3)
    assert done.ended == "timeout"
    await ended(int(done.output.split()[0]))
    stubborn = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    done = await cell(runtime, 2, stubborn, timeout=0.3)
    assert done.ended == "timeout"
    assert "its variables are gone" in done.output
    done = await cell(runtime, 3, "print('again')")
    assert done.output == "again\n"


async def test_python_that_a_cell_ends_is_started_again(runtime: Runtime) -> None:
    done = await cell(runtime, 0, "import os; print('last', flush=True); os._exit(3)")
    assert (done.ended, done.exit_code) == ("shell_exit", 3)
    assert done.output.startswith("last\n")
    done = await cell(runtime, 1, "import os; print(os.getpid())")
    pid = int(done.output)
    await run(runtime, 2, f"kill -9 {pid}")
    await ended(pid)
    done = await cell(runtime, 3, "print('again')")
    assert done.exit_code == 0
    assert "its variables are gone" in done.output


async def test_a_flood_is_capped(runtime: Runtime) -> None:
    done = await cell(runtime, 0, "for number in range(100_000): print(number)", timeout=50)
    assert done.omitted > 500_000
    assert done.output.startswith("0\n1\n")
    assert done.output.endswith("99999\n")


async def test_a_sandbox_without_ipython_says_so(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash",):
        (tools / name).symlink_to(f"/bin/{name}")
    (tools / "python3").write_text(f'#!/bin/bash\nexec {sys.executable} -S -E "$@"\n')
    (tools / "python3").chmod(0o755)
    runtimes = LocalRuntimes(tmp_path / "sandboxes", search_path=str(tools))
    try:
        async with opened(runtimes) as runtime:
            done = await cell(runtime, 0, "1")
            assert done.exit_code == 127
            assert done.output.startswith("IPython cannot be used in this sandbox")
            (tools / "python3").unlink()
            done = await cell(runtime, 1, "1")
            assert done.output == "Python could not be started: there is no python3 in the sandbox.\n"
    finally:
        await runtimes.discard(SID)
