"""A command that waits for its terminal is returned at once, and one that computes is not."""

import asyncio
import shlex
import sys

import pytest

from openhands_sessions.ports.runtime import CommandDone, GiveInput, RunCommand, Runtime
from tests.support.sandboxes import perform

LONG = 60.0
"""Seconds of patience that no test waits for."""
THREADED = """
import sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
print("got", input("text: "))
"""
POLLED = """
import os, select, sys
poll = select.poll()
poll.register(0, select.POLLIN)
print("ready", flush=True)
poll.poll()
print("got", os.read(0, 100).decode().strip())
"""
SELECTED = """
import asyncio, sys
async def main():
    loop = asyncio.get_running_loop()
    line = loop.create_future()
    loop.add_reader(0, lambda: line.done() or line.set_result(sys.stdin.readline().strip()))
    print("ready", flush=True)
    print("got", await line)
asyncio.run(main())
"""
CONNECTED = """
import os, select, socket
listening = socket.socket(socket.AF_UNIX)
listening.bind("")
listening.listen()
waker = socket.socket(socket.AF_UNIX)
between = [socket.socket(socket.AF_UNIX) for _ in range(5)]
waker.connect(listening.getsockname())
woken, _ = listening.accept()
print("ready", flush=True)
select.select([0, woken], [], [])
print("got", os.read(0, 100).decode().strip())
"""
COMPUTES = """
import sys, threading, time
threading.Thread(target=sys.stdin.readline, daemon=True).start()
until = time.process_time() + 0.7
while time.process_time() < until:
    pass
print("computed")
"""
LISTENS = """
import select, socket, sys
one, other = socket.create_server(("127.0.0.1", 0)), None
select.select([0, one], [], [], 0.7)
print("listened")
"""


def python(program: str) -> str:
    return f"{sys.executable} -c {shlex.quote(program)}"


async def give(runtime: Runtime, number: int, text: str) -> CommandDone:
    done = await perform(runtime, number, GiveInput(text=text, patience=LONG))
    assert isinstance(done, CommandDone)
    return done


@pytest.mark.parametrize(
    ("command", "prompt"),
    [
        ("read -p 'text: ' line; echo got $line", "text: "),
        ("read -t 50 -p 'text: ' line; echo got $line", "text: "),
        ("sh -c 'read line; echo got $line'", ""),
        ("cat | sed -u s/^/'got '/", ""),
        ("sh -c 'sleep 0.3; exec head -n 1' | sed s/^/'got '/", ""),
        (python("print('got', input('text: '))"), "text: "),
        (python("import getpass; print('got', getpass.getpass('text: '))"), "text: "),
        (python("print('got', open('/dev/tty').readline())"), ""),
        (python(THREADED), "text: "),
        (python(POLLED), "ready\n"),
        (python(SELECTED), "ready\n"),
        (python(CONNECTED), "ready\n"),
    ],
    ids=[
        "bash",
        "bash for a time",
        "sh",
        "pipe",
        "late",
        "python",
        "password",
        "dev tty",
        "threads",
        "poll",
        "epoll",
        "waker",
    ],
)
async def test_a_command_that_waits_for_its_terminal_is_returned_at_once(
    runtime: Runtime, command: str, prompt: str
) -> None:
    async with asyncio.timeout(LONG / 2):
        done = await perform(runtime, 0, RunCommand(command=command, patience=LONG))
        assert (done.output, done.exit_code, done.ended) == (prompt, None, "prompt")
        assert (await give(runtime, 1, "")).ended == "prompt"
        output, number = (await give(runtime, 2, "it\n")).output, 2
        while "got it" not in output:  # another process of a pipe prints it
            number += 1
            output += (await give(runtime, number, "")).output


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("sleep 0.7; echo slept", "slept\n"),
        ("sleep 0.7 | cat; echo slept", "slept\n"),
        ("sh -c 'sleep 0.7 & wait'; echo waited", "waited\n"),
        (python(COMPUTES), "computed\n"),
        (python(LISTENS), "listened\n"),
    ],
    ids=["sleep", "pipe", "background", "computing beside a reader", "socket beside the terminal"],
)
async def test_silence_is_not_taken_for_a_prompt(runtime: Runtime, command: str, output: str) -> None:
    done = await perform(runtime, 0, RunCommand(command=command, patience=LONG))
    assert (done.output, done.exit_code, done.ended) == (output, 0, "exit")


async def test_enter_answers_one_prompt(runtime: Runtime) -> None:
    command = "read -p 'name: ' a; read -p 'version: ' b; echo \"<$a> <$b>\""
    outputs = [(await perform(runtime, 0, RunCommand(command=command, patience=LONG))).output]
    outputs += [(await give(runtime, number, text)).output for number, text in enumerate(("\n", "2\n"), 1)]
    assert outputs == ["name: ", "version: ", "<> <2>\n"]


@pytest.mark.parametrize(
    ("modes", "typed", "read"), [("icanon", "\n", "0a"), ("-icanon", "q", "71"), ("-icanon -icrnl", "\n", "0d")]
)
async def test_a_program_gets_the_code_of_each_key(runtime: Runtime, modes: str, typed: str, read: str) -> None:
    command = f"stty {modes} min 1; head -c 1 | od -An -tx1"
    assert (await perform(runtime, 0, RunCommand(command=command, patience=LONG))).ended == "prompt"
    assert (await give(runtime, 1, typed)).output.strip() == read
