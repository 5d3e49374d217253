"""The local runtime: executors that are killed, found again, raced for, cut off and put in strange places."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import folder_name
from openhands_sessions.ports.runtime import CommandDone, Lost, Running, Runtime, UnknownAction
from tests.support.processes import alive, marked
from tests.support.sandboxes import SID, Hearing, key, opened, run

SERVER = """
import asyncio, sys
from pathlib import Path
from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.ports.runtime import RunCommand
from tests.support.sandboxes import key, opened

async def serve():
    async with opened(LocalRuntimes(Path(sys.argv[1]))) as runtime:
        command = RunCommand(command="echo $OHS_ACTION_ID >> runs; echo begun; read go; echo $go")
        await runtime.perform(key(0), command, lambda text: print(text, end="", flush=True))

asyncio.run(serve())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the sandbox of SID."""
    return tmp_path / "sandboxes" / folder_name(SID)


@pytest.fixture
async def runtimes(tmp_path: Path) -> AsyncIterator[LocalRuntimes]:
    runtimes = LocalRuntimes(tmp_path / "sandboxes")
    try:
        async with asyncio.timeout(60):
            yield runtimes
    finally:
        await runtimes.discard(SID)


@pytest.fixture
async def runtime(runtimes: LocalRuntimes) -> AsyncIterator[Runtime]:
    async with opened(runtimes) as runtime:
        yield runtime


async def executor_of(runtime: Runtime, number: int = 1000) -> int:
    return int((await run(runtime, number, "echo $PPID")).output)


async def test_what_an_executor_was_doing_when_it_was_killed_is_lost(runtime: Runtime) -> None:
    hearing = Hearing()
    executor = await executor_of(runtime)
    running = asyncio.create_task(run(runtime, 0, "echo x >> runs; echo begun; read go", hearing))
    await hearing.hears("begun")
    os.kill(executor, signal.SIGKILL)
    with pytest.raises(RuntimeUnavailable):
        await running
    assert await runtime.inquire(key(0)) == Lost()
    assert isinstance(await runtime.inquire(key(1000)), CommandDone)
    assert await runtime.inquire(key(1)) == UnknownAction()
    assert not await runtime.send_input("on\n")
    await runtime.interrupt(key(0))

    assert await executor_of(runtime, 1001) != executor
    assert await runtime.inquire(key(0)) == Lost()
    with pytest.raises(RuntimeUnavailable, match="unknown"):
        await run(runtime, 0, "echo x >> runs")
    assert await runtime.files.read("runs") == b"x\n"


async def test_what_was_not_begun_when_the_executor_ended_is_done_by_the_next(runtime: Runtime) -> None:
    hearing = Hearing()
    executor = await executor_of(runtime)
    first = asyncio.create_task(run(runtime, 0, "trap '' TERM HUP; echo begun; read go", hearing))
    await hearing.hears("begun")
    waiting = asyncio.create_task(run(runtime, 1, "echo $OHS_ACTION_ID >> runs"))
    await asyncio.sleep(0)  # lets it ask
    assert await runtime.inquire(key(1)) == Running()
    os.kill(executor, signal.SIGKILL)
    with pytest.raises(RuntimeUnavailable):
        await first
    assert (await waiting).exit_code == 0
    assert await runtime.files.read("runs") == f"{key(1)}\n".encode()


async def test_an_executor_that_ends_begins_nothing_more(runtime: Runtime) -> None:
    hearing = Hearing()
    executor = await executor_of(runtime)
    stubborn = "trap 'echo ending' INT; echo begun; while :; do sleep 0.02; done"
    first = asyncio.create_task(run(runtime, 0, f"({stubborn})", hearing))
    await hearing.hears("begun")
    os.kill(executor, signal.SIGTERM)
    told = asyncio.create_task(hearing.hears("ending"))  # unless it is killed first, on a busy machine
    await asyncio.wait({told, first}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    done = await run(runtime, 1, "echo $PPID; echo $OHS_ACTION_ID >> runs")
    assert (done.exit_code, done.ended) == (0, "exit")
    assert int(done.output) != executor
    assert (await first).ended == "killed"
    assert await runtime.files.read("runs") == f"{key(1)}\n".encode()


async def test_a_journal_that_is_gone_does_not_say_that_nothing_ran(runtime: Runtime, folder: Path) -> None:
    hearing = Hearing()
    executor = await executor_of(runtime)
    running = asyncio.create_task(run(runtime, 0, "echo x >> runs; echo begun; read go", hearing))
    await hearing.hears("begun")
    (folder / "state/journal").unlink()
    os.kill(executor, signal.SIGKILL)
    with pytest.raises(RuntimeUnavailable):
        await running
    assert await runtime.inquire(key(0)) == Lost()
    assert await runtime.files.read("runs") == b"x\n"


async def test_an_adopted_action_is_not_run_again_by_an_executor_that_knows_nothing(
    runtimes: LocalRuntimes, folder: Path
) -> None:
    hearing = Hearing()
    async with opened(runtimes) as runtime:
        executor = await executor_of(runtime)
        running = asyncio.create_task(run(runtime, 0, "echo x >> runs; echo begun; read go", hearing))
        await hearing.hears("begun")
        running.cancel()
        await asyncio.wait([running])
    async with opened(runtimes, term=2) as runtime:
        assert await runtime.inquire(key(0)) == Running()
        (folder / "state/journal").unlink()
        os.kill(executor, signal.SIGKILL)
        assert not await runtime.send_input("on\n")
        with pytest.raises(RuntimeUnavailable):
            await run(runtime, 0, "echo x >> runs")
        assert await runtime.inquire(key(0)) == Lost()
        assert await runtime.files.read("runs") == b"x\n"


@pytest.mark.slow
async def test_a_killed_server_leaves_its_command_to_the_next(runtimes: LocalRuntimes, folder: Path) -> None:
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER, folder.parent), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert server.stdout is not None
    assert await server.stdout.readuntil(b"begun\n")
    server.kill()
    await server.wait()
    hearing = Hearing()
    async with opened(runtimes, term=2) as runtime:
        assert await runtime.inquire(key(0)) == Running()
        adopted = asyncio.create_task(run(runtime, 0, "echo never", hearing))
        await asyncio.sleep(0)  # lets it ask
        assert await runtime.send_input("on\n")
        assert (await adopted).output == "begun\non\n"
        assert await runtime.files.read("runs") == f"{key(0)}\n".encode()


async def test_of_many_that_start_one_executor_one_starts(runtimes: LocalRuntimes, tmp_path: Path) -> None:
    others = LocalRuntimes(tmp_path / "sandboxes")
    async with opened(runtimes) as a, opened(runtimes) as b, opened(others) as c, opened(others) as d:
        found = await asyncio.gather(*(executor_of(each, number) for number, each in enumerate((a, b, c, d, a, b))))
    assert len(set(found)) == 1


async def test_an_executor_gets_nothing_of_the_servers_environment(
    runtimes: LocalRuntimes, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("A_SECRET", "hidden")
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin:/usr/bin:/bin")
    async with opened(LocalRuntimes(folder.parent)) as runtime:
        lines = (await run(runtime, 0, "env; cat /proc/$PPID/environ | tr '\\0' '\\n'")).output.splitlines()
    names = {line.partition("=")[0] for line in lines}
    ours = {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "SHELL",
        "TERM",
        "PAGER",
        "GIT_PAGER",
        "MANPAGER",
        "OHS_ACTION_ID",
    }
    assert names - ours == {"PWD", "SHLVL", "_"}
    own = "" if sys.prefix != sys.base_prefix else f"{sys.prefix}/bin:"  # only a virtual environment is left out
    assert f"PATH={own}/usr/bin:/bin" in lines
    assert f"HOME={folder / 'workspace'}" in lines


async def test_a_data_folder_may_have_a_long_and_strange_name(tmp_path: Path) -> None:
    runtimes = LocalRuntimes(tmp_path / ("ä 'quoted\" $x `y` " + "x" * 150) / ("y" * 200))
    try:
        async with opened(runtimes) as runtime:
            assert (await run(runtime, 0, "cd /; exit")).working_dir == "/"
            assert (await run(runtime, 1, 'echo here; cd "$HOME"')).output == "here\n"
            assert (await run(runtime, 2, "true")).working_dir == "/workspace"
    finally:
        await runtimes.discard(SID)
    assert not list(tmp_path.rglob("workspace"))


async def test_what_a_command_put_in_place_of_the_socket_is_not_followed(runtimes: LocalRuntimes, folder: Path) -> None:
    async with opened(runtimes) as runtime:
        executor = await executor_of(runtime)
    socket = folder / "state" / "executor.sock"
    socket.rename(folder / "state" / "moved")
    puts: list[Callable[[], None]] = [lambda: socket.symlink_to("moved"), socket.touch, socket.mkdir]
    for put in puts:
        put()
        async with opened(runtimes, term=2) as runtime:
            with pytest.raises(RuntimeUnavailable):
                await run(runtime, 0, "true")
        socket.rmdir() if socket.is_dir() else socket.unlink()
    (folder / "state" / "moved").rename(socket)
    assert alive(executor)


async def test_a_sandbox_that_does_not_answer_is_ended_by_force(runtimes: LocalRuntimes, folder: Path) -> None:
    async with opened(runtimes) as runtime:
        done = await run(runtime, 0, "setsid nohup sleep 1000 > /dev/null 2>&1 & echo $PPID $!")
        executor, _ = (int(pid) for pid in done.output.splitlines()[-1].split())
    os.kill(executor, signal.SIGSTOP)
    await runtimes.discard(SID)
    assert not alive(executor)
    assert not marked(key(0), str(folder))
    assert not folder.exists()


async def test_a_workspace_that_a_command_made_unreadable_can_be_deleted(runtimes: LocalRuntimes, folder: Path) -> None:
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "mkdir -p a/b; touch a/b/c; ln -s /etc a/link; chmod 0 a/b a")
    await runtimes.discard(SID)
    assert not folder.exists()
    assert list(Path("/etc").iterdir())


async def test_without_bash_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match="install"):
        async with opened(LocalRuntimes(tmp_path, search_path="/nowhere")):
            pass


async def test_where_no_folder_can_be_made_it_says_so_without_a_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RuntimeUnavailable) as refused:
        async with opened(LocalRuntimes(tmp_path / "file")):
            pass
    assert str(tmp_path) not in refused.value.message


async def test_a_closed_runtime_starts_nothing(runtimes: LocalRuntimes, folder: Path) -> None:
    async with opened(runtimes) as runtime:
        pass
    with pytest.raises(RuntimeUnavailable):
        await run(runtime, 0, "true")
    assert not (folder / "state" / "executor.sock").exists()


async def test_opening_starts_nothing(runtime: Runtime, folder: Path) -> None:
    assert await runtime.inquire(key(0)) == UnknownAction()
    await runtime.files.write("a", b"")
    assert not await runtime.send_input("x")
    await runtime.interrupt(key(0))
    assert not (folder / "state" / "executor.sock").exists()
