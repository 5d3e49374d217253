"""The persistent shell: what commands may do to it, and what they may not."""

import asyncio
import os

import pytest

from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.core.errors import RuntimeFailure
from openhands_sessions.ports.runtime import RunCommand, Runtime
from tests.support.processes import peak_memory
from tests.support.sandboxes import Hearing, opened, perform, run

MARK = "\\033_" + "0123456789abcdef" * 2 + ":0123456789abcdef:0\\000"


async def test_the_exit_code_of_the_last_command_is_there_for_the_next(runtime: Runtime) -> None:
    await run(runtime, 0, "(exit 3)")
    assert (await run(runtime, 1, "echo $?")).output == "3\n"
    assert (await run(runtime, 2, "echo $?")).output == "0\n"


async def test_functions_traps_options_and_redirections_of_the_shell(runtime: Runtime) -> None:
    await run(runtime, 0, "greet() { echo hello $1; }; exec 5> kept; set -u; alias hi='greet alias'")
    assert (await run(runtime, 1, "greet you; echo x >&5; hi; cat kept")).output == "hello you\nhello alias\nx\n"
    assert (await run(runtime, 2, "exec > lost 2>&1 < /dev/null; echo unseen")).output == ""
    assert (await run(runtime, 3, "echo seen; cat lost; test -t 0")).output == "seen\nunseen\n"


@pytest.mark.parametrize("command", [f"printf '{MARK}'", f"printf 'x{MARK}' >&2; printf '\\033_'; false"])
async def test_no_output_feigns_the_end(runtime: Runtime, command: str) -> None:
    done = await run(runtime, 0, f"{command}; echo real; (exit 4)")
    assert done.exit_code == 4
    assert done.output.endswith("real\n")
    assert "0123456789abcdef:0" in done.output


async def test_the_secret_of_the_end_mark_is_nowhere_to_be_found(runtimes: LocalRuntimes) -> None:
    """Only a trace that the shell writes after the command gives the nonce away, and then it helps no later one."""
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "exec 9>/dev/tty; BASH_XTRACEFD=9")
        traced = (await run(runtime, 1, "set -x")).output
        nonce = traced.split("printf")[-1].split()[1]
        assert len(nonce) == 32
        look = "{ set; env; cat /proc/$$/environ /proc/$$/cmdline ../state/[cfl]*; } 2>&1 | tr -d '\\0' | grep -c "
        assert (await run(runtime, 2, f"set +x; {look} OHS_ACTION_ID")).output.endswith("\n")
        found = await run(runtime, 3, look + f"{nonce[:16]}''{nonce[16:]}")
        assert found.output == "0\n"
        done = await run(runtime, 4, f"printf '\\033_{nonce}:0123456789abcdef:0\\000'; echo on; (exit 4)")
        assert (done.output, done.exit_code) == ("on\n", 4)


@pytest.mark.parametrize(
    ("command", "exit_code", "ended"),
    [
        ("exit 3", 3, "shell_exit"),
        ("set -e; false; echo never", 1, "shell_exit"),
        ("set -e; (exit 9)", 9, "shell_exit"),
        ("exec sh -c 'exit 4'", 4, "shell_exit"),
        ("trap 'echo bye' EXIT; exit", 0, "shell_exit"),
        ("kill -KILL $$", None, "killed"),
        ("exec sh -c 'kill -TERM $$'", None, "killed"),
    ],
)
@pytest.mark.slow
async def test_a_lost_shell_is_told_and_replaced_in_its_folder(
    runtime: Runtime, command: str, exit_code: int | None, ended: str
) -> None:
    await runtime.files.write("below/a", b"")
    await run(runtime, 0, "cd below; colour=blue; (exit 3)")
    done = await run(runtime, 1, command)
    assert (done.exit_code, done.ended, done.working_dir) == (exit_code, ended, "/workspace/below")
    assert ("its variables" in done.output) == (ended == "killed")
    done = await run(runtime, 2, "echo $? ${colour}new; ls")
    assert (done.output, done.working_dir) == ("0 new\na\n", "/workspace/below")


async def test_set_e_alone_does_no_harm(runtime: Runtime) -> None:
    await run(runtime, 0, "set -e; colour=blue")
    assert (await run(runtime, 1, "echo $colour")).output == "blue\n"
    assert (await run(runtime, 2, "false || echo $colour")).output == "blue\n"
    assert (await run(runtime, 3, "false")).ended == "shell_exit"


async def test_a_folder_that_is_gone_is_left_for_the_workspace(runtime: Runtime) -> None:
    await runtime.files.write("below/a", b"")
    await run(runtime, 0, "cd below; rm -r ../below; exit")
    assert (await run(runtime, 1, "ls")).working_dir == "/workspace"


async def test_a_folder_outside_is_told_as_it_is(runtime: Runtime) -> None:
    assert (await run(runtime, 0, "cd /usr")).working_dir == "/usr"


async def test_background_jobs_live_on(runtime: Runtime) -> None:
    pid = int((await run(runtime, 0, "sleep 1000 > out 2>&1 & echo $!")).output.splitlines()[-1])
    await perform(runtime, 1, RunCommand(command="sleep 1000", timeout=0.1))
    assert (await run(runtime, 2, "jobs")).output == "[1]+  Running                 sleep 1000 > out 2>&1 &\n"
    assert (await perform(runtime, 3, RunCommand(command="trap '' INT; while :; do :; done", timeout=0.1))).pid
    assert (await run(runtime, 4, "jobs")).output == ""
    os.kill(pid, 0)
    assert (await run(runtime, 5, f"kill {pid}; exit")).ended == "shell_exit"


async def test_what_a_job_prints_between_commands_is_discarded(runtime: Runtime) -> None:
    await run(runtime, 0, "mkfifo go done; { read x < go; echo noise; echo > done; } & echo")
    (pipe,) = (await run(runtime, 1, "readlink -f go")).output.split()
    with open(pipe, "w") as go:  # noqa: ASYNC230, PTH123 - the job waits at the other end
        go.write("\n")
    with open(pipe.replace("/go", "/done")) as done:  # noqa: ASYNC230, PTH123
        done.read()
    assert (await run(runtime, 2, "echo mine")).output == "mine\n"


async def test_the_environment_follows_the_owner(runtimes: LocalRuntimes) -> None:
    async with opened(runtimes, 1, one="1", quoted='it\'s "$x" `y`\n\\', two="2") as runtime:
        assert (await run(runtime, 0, 'echo "$one,$quoted,$two"')).output == '1,it\'s "$x" `y`\n\\,2\n'
        assert (await run(runtime, 1, "one=changed; sh -c 'echo $one'")).output == "changed\n"
        assert (await run(runtime, 2, "echo $one")).output == "changed\n"
    async with opened(runtimes, 2, two="3") as runtime:
        assert (await run(runtime, 3, 'echo "$one,$quoted,$two"')).output == ",,3\n"


@pytest.mark.parametrize("environment", [{"a b": "x"}, {"a": "x\0"}, {"a": "x" * 40_000}, {"": "x"}, {"a;b": "x"}])
async def test_what_cannot_be_an_environment_is_refused(runtimes: LocalRuntimes, environment: dict[str, str]) -> None:
    async with opened(runtimes, 1, **environment) as runtime:
        with pytest.raises(RuntimeFailure, match="environment"):
            await run(runtime, 0, "echo x > runs")
        assert await runtime.files.list() == []


async def test_what_cannot_be_a_command_is_refused(runtime: Runtime) -> None:
    with pytest.raises(RuntimeFailure, match="NUL"):
        await run(runtime, 0, "echo a\0b")
    for number, timeout in enumerate((0, -1, float("inf"))):
        with pytest.raises(RuntimeFailure, match="timeout"):
            await perform(runtime, number, RunCommand(command="true", timeout=timeout))


async def test_a_long_command_runs(runtime: Runtime) -> None:
    text = "x" * 1_000_000
    assert (await run(runtime, 0, f"text={text}; echo ${{#text}}")).output == "1000000\n"


async def test_input_reaches_only_the_running_command(runtime: Runtime) -> None:
    hearing = Hearing()
    await run(runtime, 0, "echo none > taken")
    running = asyncio.create_task(run(runtime, 1, "echo begun; read line; echo $line", hearing))
    await hearing.hears("begun")
    assert await runtime.send_input("one\necho stolen > taken\n")
    assert (await running).output == "begun\none\n"
    assert (await run(runtime, 2, "read -t 0 && echo more; cat taken")).output == "none\n"


async def test_modes_of_the_terminal_are_set_back(runtime: Runtime) -> None:
    before = (await run(runtime, 0, "stty -a")).output
    await run(runtime, 1, "stty sane; stty -isig raw")
    assert (await run(runtime, 2, "stty -a")).output == before


@pytest.mark.slow
async def test_a_flood_of_output_takes_neither_long_nor_memory(runtime: Runtime) -> None:
    executor = int((await run(runtime, 0, "echo $PPID")).output)
    done = await run(runtime, 1, "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo end")
    assert done.omitted == 100_000_005 - 2 * 64 * 1024
    assert done.output.endswith("x\nend\n")
    assert peak_memory(executor) < 100 << 20
