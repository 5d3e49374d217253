"""What every kind of Runtime keeps: commands and owners. A new kind is one more parameter of the fixture; the fake is
held to it too."""

import asyncio
from dataclasses import replace

import pytest

from openhands_sessions.core.errors import PathRefused, RuntimeUnavailable
from openhands_sessions.ports.runtime import CommandDone, RunCell, RunCommand, Running, Runtime, Runtimes, UnknownAction
from tests.support.sandboxes import CAP, FLOOD, FLOODED, SID, Hearing, key, opened, perform, run


async def test_a_command_prints_and_ends_with_its_exit_code(runtime: Runtime) -> None:
    hearing = Hearing()
    assert await run(runtime, 0, "echo hello; false", hearing) == CommandDone(
        output="hello\n", exit_code=1, pid=(await run(runtime, 1, "true")).pid
    )
    assert hearing.text == "hello\n"


async def test_an_unknown_command_ends_with_127(runtime: Runtime) -> None:
    done = await run(runtime, 0, "no-such-command")
    assert (done.exit_code, done.output) == (127, "bash: no-such-command: command not found\n")


async def test_folder_and_variables_outlive_a_command(runtime: Runtime) -> None:
    await runtime.files.write("below/file", b"")
    done = await run(runtime, 0, "cd below; colour=blue")
    assert done.working_dir == "/workspace/below"
    done = await run(runtime, 1, "echo $colour >> found")
    assert done.working_dir == "/workspace/below"
    assert await runtime.files.read("below/found") == b"blue\n"


async def test_a_command_begins_in_the_folder_that_it_names(runtime: Runtime) -> None:
    await runtime.files.write("below/file", b"")
    done = await perform(runtime, 0, RunCommand(command="echo here >> found", cwd="/workspace/below"))
    assert done.working_dir == "/workspace/below"
    assert await runtime.files.list("below") == ["file", "found"]
    with pytest.raises(PathRefused):
        await perform(runtime, 1, RunCommand(command="true", cwd="/etc"))


async def test_each_command_gets_the_environment_and_its_own_key(runtimes: Runtimes) -> None:
    async with opened(runtimes, greeting="it's me") as runtime:
        assert (await run(runtime, 0, "echo $greeting $OHS_ACTION_ID")).output == f"it's me {key(0)}\n"
        assert (await run(runtime, 1, "echo $greeting $OHS_ACTION_ID")).output == f"it's me {key(1)}\n"


async def test_output_comes_while_the_command_runs(runtime: Runtime) -> None:
    hearing = Hearing()
    running = asyncio.create_task(run(runtime, 0, "echo begun; read go; echo $go", hearing))
    await hearing.hears("begun\n")
    assert await runtime.inquire(key(0)) == Running()
    assert await runtime.send_input("on\n")
    assert (await running).output == hearing.text == "begun\non\n"


async def test_input_without_a_command_is_not_taken(runtime: Runtime) -> None:
    assert not await runtime.send_input("hello\n")
    await run(runtime, 0, "true")
    assert not await runtime.send_input("hello\n")


async def test_of_a_long_output_head_and_tail_are_kept(runtime: Runtime) -> None:
    done = await run(runtime, 0, FLOOD)
    assert done.omitted == len(FLOODED) - 2 * CAP
    assert done.output.startswith(FLOODED[:CAP])
    assert done.output.endswith(FLOODED[-CAP:])
    assert f"{done.omitted} bytes left out" in done.output[CAP : -CAP + 1]


async def test_a_known_action_is_not_done_again(runtime: Runtime) -> None:
    first = await run(runtime, 0, "echo $OHS_ACTION_ID >> runs; echo once")
    assert await run(runtime, 0, "echo $OHS_ACTION_ID >> runs; echo twice") == first
    assert await runtime.files.read("runs") == f"{key(0)}\n".encode()
    assert await runtime.inquire(key(0)) == first


async def test_a_running_action_is_joined(runtime: Runtime) -> None:
    first, second = Hearing(), Hearing()
    running = asyncio.create_task(run(runtime, 0, "echo x >> runs; echo begun; read go; echo $go", first))
    await first.hears("begun\n")
    joined = asyncio.create_task(run(runtime, 0, "echo x >> runs", second))
    assert await runtime.inquire(key(0)) == Running()
    await runtime.send_input("on\n")
    assert await joined == await running
    assert second.text == "begun\non\n"
    assert await runtime.files.read("runs") == b"x\n"


async def test_letting_go_of_a_command_leaves_it_running(runtime: Runtime) -> None:
    hearing = Hearing()
    running = asyncio.create_task(run(runtime, 0, "echo begun; read go; echo $go", hearing))
    await hearing.hears("begun\n")
    running.cancel()
    await asyncio.wait({running})
    assert await runtime.inquire(key(0)) == Running()
    await runtime.send_input("on\n")
    assert (await run(runtime, 0, "true")).output == "begun\non\n"


async def test_commands_take_turns(runtime: Runtime) -> None:
    hearing = Hearing()
    first = asyncio.create_task(run(runtime, 0, "echo begun; read go; echo first >> order", hearing))
    await hearing.hears("begun\n")
    second = asyncio.create_task(run(runtime, 1, "echo second >> order"))
    await asyncio.sleep(0)  # lets it ask
    assert await runtime.inquire(key(1)) == Running()
    await runtime.send_input("on\n")
    await asyncio.gather(first, second)
    assert await runtime.files.read("order") == b"first\nsecond\n"


async def test_an_interrupted_command_ends_and_the_shell_lives_on(runtime: Runtime) -> None:
    hearing = Hearing()
    await run(runtime, 0, "colour=blue")
    running = asyncio.create_task(run(runtime, 1, "echo begun; sleep 100; echo never", hearing))
    await hearing.hears("begun\n")
    async with asyncio.timeout(20):
        await runtime.interrupt(key(1))
        done = await running
    assert (done.output, done.exit_code, done.ended) == ("begun\n", None, "interrupted")
    assert (await run(runtime, 2, "echo $colour")).output == "blue\n"
    await runtime.interrupt(key(1))
    assert await runtime.inquire(key(1)) == done


async def test_a_command_that_waits_for_its_turn_can_be_interrupted(runtime: Runtime) -> None:
    hearing = Hearing()
    first = asyncio.create_task(run(runtime, 0, "echo begun; read go", hearing))
    await hearing.hears("begun\n")
    second = asyncio.create_task(run(runtime, 1, "echo second >> order"))
    await asyncio.sleep(0)  # lets it ask
    assert await runtime.inquire(key(1)) == Running()
    await runtime.interrupt(key(1))
    await runtime.send_input("on\n")
    assert (await first).ended == "exit"
    assert (await second).ended == "interrupted"
    assert await runtime.files.list() == []


@pytest.mark.parametrize("before", [False, True], ids=["at once", "after another"])
async def test_an_interrupted_action_never_begins_later(runtime: Runtime, before: bool) -> None:
    if before:
        await run(runtime, 0, "true")
    await runtime.interrupt(key(1))
    done = await run(runtime, 1, "echo x >> runs")
    assert (done.output, done.exit_code, done.ended) == ("", None, "interrupted")
    assert await runtime.files.list() == []


async def test_ctrl_c_ends_the_command(runtime: Runtime) -> None:
    hearing = Hearing()
    running = asyncio.create_task(run(runtime, 0, "echo begun; read line; echo never", hearing))
    await hearing.hears("begun\n")
    assert await runtime.send_input("\x03")
    assert (await running).output == "begun\n"


async def test_a_command_that_takes_too_long_is_ended(runtime: Runtime) -> None:
    done = await perform(runtime, 0, RunCommand(command="echo begun; sleep 100; echo never", timeout=0.2))
    assert (done.output, done.exit_code, done.ended) == ("begun\n", None, "timeout")
    assert (await run(runtime, 1, "echo on")).output == "on\n"


async def test_a_command_that_ends_the_shell_says_so(runtime: Runtime) -> None:
    await runtime.files.write("below/file", b"")
    done = await run(runtime, 0, "cd below; colour=blue; exit 3")
    assert (done.exit_code, done.ended, done.working_dir) == (3, "shell_exit", "/workspace/below")
    done = await run(runtime, 1, "echo ${colour}new")
    assert (done.output, done.working_dir) == ("new\n", "/workspace/below")


async def test_what_was_never_asked_for_is_unknown(runtime: Runtime) -> None:
    assert await runtime.inquire(key(7)) == UnknownAction()
    await run(runtime, 0, "true")
    assert await runtime.inquire(key(7)) == UnknownAction()


async def test_the_next_owner_finds_the_shell_and_what_it_did(runtimes: Runtimes) -> None:
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "colour=blue; echo x >> runs")
    async with opened(runtimes, term=2) as runtime:
        assert isinstance(await runtime.inquire(key(0)), CommandDone)
        await run(runtime, 0, "echo x >> runs")
        assert (await run(runtime, 1, "echo $colour")).output == "blue\n"
        assert await runtime.files.read("runs") == b"x\n"


async def test_the_next_owner_adopts_a_running_command(runtimes: Runtimes) -> None:
    first, second = Hearing(), Hearing()
    command = "echo begun; read go; echo $go"
    async with opened(runtimes) as runtime:
        running = asyncio.create_task(run(runtime, 0, command, first))
        await first.hears("begun\n")
        running.cancel()
        await asyncio.wait({running})
    async with opened(runtimes, term=2) as runtime:
        assert await runtime.inquire(key(0)) == Running()
        adopted = asyncio.create_task(run(runtime, 0, command, second))
        await second.hears("begun\n")
        assert await runtime.send_input("on\n")
        assert (await adopted).output == "begun\non\n"


async def test_an_owner_is_refused_once_a_newer_one_has_come(runtimes: Runtimes) -> None:
    async with opened(runtimes) as older, opened(runtimes, term=2) as newer:
        await run(older, 0, "true")
        await run(newer, 1, "true")
        for asking in (run(older, 2, "echo x >> runs"), older.inquire(key(1)), older.send_input("x")):
            with pytest.raises(RuntimeUnavailable):
                await asking
        await older.interrupt(key(3))
        assert await newer.inquire(key(2)) == UnknownAction() == await newer.inquire(key(3))
        assert await newer.files.list() == []


async def test_an_older_owner_cannot_do_what_a_newer_one_was_told_is_unknown(runtimes: Runtimes) -> None:
    async with opened(runtimes) as older, opened(runtimes, term=2) as newer:
        assert await newer.inquire(key(0)) == UnknownAction()
        with pytest.raises(RuntimeUnavailable):
            await run(older, 0, "echo x >> runs")
        assert await newer.files.list() == []


async def test_a_discarded_sandbox_is_gone(runtimes: Runtimes) -> None:
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "colour=blue; echo x >> runs")
    await runtimes.discard(SID)
    await runtimes.discard(SID)
    async with opened(runtimes) as runtime:
        assert await runtime.files.list() == []
        assert await runtime.inquire(key(0)) == UnknownAction()
        assert (await run(runtime, 0, "echo ${colour}new")).output == "new\n"


async def test_what_is_started_and_removed_is_counted(runtimes: Runtimes) -> None:
    before = replace(runtimes.counts)
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "true")
        await run(runtime, 1, "true")
    assert runtimes.counts == replace(before, made=before.made + 1)
    await runtimes.discard(SID)
    await runtimes.discard(SID)
    assert runtimes.counts == replace(before, made=before.made + 1, removed=before.removed + 1)


async def test_a_sandbox_can_be_discarded_while_a_command_runs(runtimes: Runtimes) -> None:
    hearing = Hearing()
    async with opened(runtimes) as runtime:
        running = asyncio.create_task(run(runtime, 0, "echo begun; sleep 100", hearing))
        await hearing.hears("begun\n")
        running.cancel()
        await asyncio.wait({running})
    await runtimes.discard(SID)
    async with opened(runtimes) as runtime:
        assert await runtime.inquire(key(0)) == UnknownAction()


async def test_a_cell_is_run_once_or_says_what_the_sandbox_lacks(runtime: Runtime) -> None:
    done = await runtime.perform(key(0), RunCell(code="x=1", timeout=30), Hearing())
    assert isinstance(done, CommandDone)
    assert (done.ended, done.exit_code in (0, 127)) == ("exit", True)
    assert await runtime.perform(key(0), RunCell(code="x=1"), Hearing()) == done == await runtime.inquire(key(0))
