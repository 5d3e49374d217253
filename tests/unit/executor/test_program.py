"""The program runs in any image: with an old Python, by whatever way it is started, and ends with all it started."""

import ast
import asyncio
import os
import signal
import sys
import zipapp
from pathlib import Path

import pytest

from openhands_sessions.executor.program import LOG_LIMIT, ErrorLog
from tests.support.executors import EXECUTOR, started
from tests.support.processes import alive, ended, marked

LEFT_BEHIND = """
sh -c 'echo > one; sleep 1000; true' &
setsid nohup sh -c 'echo > two; sleep 1000; true' > /dev/null 2>&1 &
until [ -e one -a -e two ] && pgrep -s 0 sleep > /dev/null; do :; done
trap '' TERM HUP
"""
SOURCES = sorted(EXECUTOR.glob("*.py"))
RARE = {
    *("argparse", "bz2", "difflib", "lzma", "platform", "shutil", "ssl", "tempfile", "zipfile", "_hashlib"),
    "executor.archive",
}
"""Modules that few sandboxes need, or none."""


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_each_file_is_python_3_8_and_imports_nothing_of_others(source: Path) -> None:
    tree = ast.parse(source.read_text(), feature_version=(3, 8))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert all(name.name.partition(".")[0] in sys.stdlib_module_names for name in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 1 or (node.module or "").partition(".")[0] in sys.stdlib_module_names


@pytest.mark.slow
async def test_it_runs_as_a_folder_a_module_and_a_zipapp(tmp_path: Path) -> None:
    archive = tmp_path / "executor.pyz"
    zipapp.create_archive(EXECUTOR, archive, filter=lambda path: path.suffix == ".py")
    for number, program in enumerate((EXECUTOR, archive)):
        async with started(tmp_path / str(number), program=program) as box, box.owner() as peer:
            assert (await peer.run(1, "echo here"))["outcome"]["output"] == "here\n"
    module = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "openhands_sessions.executor", "--socket", "s"), stderr=asyncio.subprocess.PIPE
    )
    _, complained = await module.communicate()
    assert complained == b"the executor cannot run: the option '--workspace' is needed\n"


async def test_it_loads_no_module_that_few_sandboxes_need() -> None:
    """Each costs every sandbox memory and every start time."""
    look = "import runpy, sys; sys.argv[0] = {path!r}\ntry: runpy.run_path({path!r}, run_name='__main__')\nfinally:"
    look += " print(*(name for name, module in sys.modules.items() if module is not None))"
    module = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", look.format(path=str(EXECUTOR))), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await module.communicate()
    loaded = set(said.decode().split())
    assert {"asyncio", "executor.program", "executor.actions"} <= loaded
    assert not loaded & RARE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
async def test_it_ignores_what_a_terminal_sends(tmp_path: Path, number: signal.Signals) -> None:
    async with started(tmp_path) as box, box.owner() as peer:
        box.process.send_signal(number)
        assert (await peer.run(1, "echo here"))["outcome"]["output"] == "here\n"
        assert (await peer.run(2, "trap; python3 -c 'import signal; print(signal.getsignal(2).__name__)'"))["outcome"][
            "output"
        ].endswith("default_int_handler\n")


async def test_where_it_cannot_run_its_last_line_says_why(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    words = ("--socket", tmp_path / "socket", "--workspace", tmp_path, "--state", tmp_path / "state")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", EXECUTOR, *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await process.communicate()
    assert (process.returncode, said) == (1, b"")
    assert complained == b"the executor cannot run: File exists\n"


async def test_where_it_cannot_listen_the_log_has_the_whole_story(tmp_path: Path) -> None:
    words = ("--socket", tmp_path / "none" / "socket", "--workspace", tmp_path, "--state", tmp_path / "state")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", EXECUTOR, *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, complained = await process.communicate()
    assert complained == b"the executor cannot run: No such file or directory\n"
    assert "Traceback" in (tmp_path / "state" / "log").read_text()


async def test_at_its_end_nothing_is_left(tmp_path: Path) -> None:
    async with started(tmp_path) as box, box.owner() as peer:
        await peer.run(1, LEFT_BEHIND)
        assert len(marked("OHS_ACTION_ID=k-1", str(tmp_path))) == 4
        await peer.send({"id": 2, "op": "perform", "key": "k-2", "task": {"kind": "command", "command": "sleep 1000"}})
        await peer.ask(3, "inquire", key="k-2")
        box.process.terminate()
        async with asyncio.timeout(20):
            assert await box.process.wait() == 0
        assert marked("OHS_ACTION_ID=k-", str(tmp_path)) == []
        assert not (tmp_path / "executor.sock").exists()
        assert '"key":"k-2","state":"done"' in (tmp_path / "state" / "journal").read_text()


async def test_a_folder_in_the_place_of_its_socket_does_not_prevent_a_start(tmp_path: Path) -> None:
    async with started(tmp_path) as box, box.owner() as peer:
        await peer.run(1, "rm executor.sock; mkdir executor.sock; touch executor.sock/full")
        await peer.send({"id": 2, "op": "perform", "key": "k-2", "task": {"kind": "command", "command": "sleep 1000"}})
        await peer.ask(3, "inquire", key="k-2")
        box.process.terminate()
        async with asyncio.timeout(20):
            assert await box.process.wait() == 0
        assert '"key":"k-2","state":"done"' in (tmp_path / "state" / "journal").read_text()
    async with started(tmp_path) as box, box.owner() as peer:
        assert (await peer.run(4, "echo on"))["outcome"]["output"] == "on\n"


async def test_it_ends_when_no_client_connects(tmp_path: Path) -> None:
    async with started(tmp_path, options=("--idle-timeout", "0.2")) as box:
        async with box.owner() as peer:
            await peer.run(1, "true")
        async with asyncio.timeout(20):
            assert await box.process.wait() == 0


async def test_it_does_not_end_while_a_client_is_connected_or_a_command_runs(tmp_path: Path) -> None:
    async with started(tmp_path, options=("--idle-timeout", "0.2")) as box:
        async with box.owner() as peer:
            assert (await peer.run(1, "sleep 0.5; echo on"))["outcome"]["output"] == "on\n"
            task = {"kind": "command", "command": "sleep 0.5; echo ended > ended"}
            await peer.send({"id": 2, "op": "perform", "key": "k-2", "task": task})
            await peer.ask(3, "inquire", key="k-2")
        async with asyncio.timeout(20):
            await box.process.wait()
        assert (tmp_path / "ended").exists()


async def test_a_second_one_sees_the_first_and_goes(tmp_path: Path) -> None:
    async with started(tmp_path) as first, started(tmp_path) as second:
        assert await second.process.wait() == 0
        assert first.process.returncode is None
        async with first.owner() as peer:
            assert (await peer.run(1, "echo here"))["outcome"]["output"] == "here\n"


async def test_the_next_one_takes_the_place_of_one_that_was_killed(tmp_path: Path) -> None:
    async with started(tmp_path) as box, box.owner() as peer:
        shell = (await peer.run(1, "sleep 1000 & echo done"))["outcome"]["pid"]
        box.process.kill()
        await box.process.wait()
        await ended(shell)
    async with started(tmp_path) as box, box.owner() as peer:
        assert (await peer.ask(1, "inquire", key="k-1"))["state"] == "done"
        assert not alive(shell)
        assert (await peer.run(2, "echo here"))["outcome"]["output"] == "here\n"
    for pid in marked("OHS_ACTION_ID=k-1", str(tmp_path)):
        os.kill(pid, signal.SIGKILL)


async def test_its_files_are_its_owners_alone(tmp_path: Path) -> None:
    async with started(tmp_path) as box, box.owner() as peer:
        await peer.run(1, "umask; touch made")
        await peer.ask(2, "perform", key="e", task={"kind": "edit", "command": "create", "path": "a", "file_text": ""})
        modes = {path.name: path.stat().st_mode & 0o777 for path in box.folder.iterdir()}
    assert modes == {"executor.sock": 0o600, "state": 0o700, "made": 0o644, "a": 0o644}


async def test_detached_it_says_why_it_could_not_begin(tmp_path: Path) -> None:
    places = ("--socket", tmp_path / "no" / "folder", "--workspace", tmp_path, "--state", tmp_path / "state")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", EXECUTOR, *places, "--detach"), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert (process.returncode, said) == (1, b"FileNotFoundError: No such file or directory\n")


def test_what_goes_wrong_is_logged_up_to_a_limit(tmp_path: Path) -> None:
    for _ in range(3):
        log = ErrorLog(tmp_path / "log")
        for _ in range(100):
            log.write("x" * (LOG_LIMIT // 30))
        assert (tmp_path / "log").stat().st_size == LOG_LIMIT
        log.close()
