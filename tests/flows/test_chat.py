"""`chat` with one message: from a flag, a pipe or a file."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import CommandLine, Done
from tests.support.running_server import processes_of, running_server, still_running

LINES = "".join(f"row {number}\n" for number in range(200))


@pytest.fixture
async def shell(data_dir: Path) -> AsyncIterator[CommandLine]:
    yield CommandLine(data_dir)
    assert not await still_running(processes_of(data_dir)), "processes were left behind"


async def chat(shell: CommandLine, *arguments: str, typed: str = "") -> Done:
    return await shell.run("chat", *arguments, typed=typed)


def sid_of(done: Done) -> str:
    """The conversation that standard error names."""
    return next(
        line.removeprefix("Conversation ") for line in done.err.splitlines() if line.startswith("Conversation ")
    )


async def events(shell: CommandLine, sid: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((await shell.run("sessions", "export", sid)).out)["trajectory"]
    return found


def said(events: Sequence[dict[str, Any]]) -> list[str]:
    """The messages of the user."""
    return [e["args"]["content"] for e in events if e["source"] == "user" and e.get("action") == "message"]


async def test_one_message_is_answered_and_the_conversation_can_go_on(shell: CommandLine) -> None:
    first = await chat(shell, "-m", "$ echo one > x; cat x")
    assert first.code == 0, first.err
    assert first.out.splitlines() == ["$ echo one > x; cat x", "one", "Done. What next?"]
    assert first.err == f"Conversation {sid_of(first)}\n"
    second = await chat(shell, "--conversation", sid_of(first), "-m", "$ cat x")
    assert second.out.splitlines() == ["$ cat x", "one", "Done. What next?"]
    assert sid_of(second) == sid_of(first)


async def test_a_pipe_is_one_message_and_nothing_of_it_is_lost(shell: CommandLine) -> None:
    done = await chat(shell, typed=LINES)
    assert done.code == 0, done.err
    assert said(await events(shell, sid_of(done))) == [LINES.rstrip("\n")]


async def test_what_a_pipe_holds_follows_the_message_of_the_flag(shell: CommandLine) -> None:
    done = await chat(shell, "-m", "What is this?", typed=LINES)
    assert said(await events(shell, sid_of(done))) == ["What is this?\n\n" + LINES.rstrip("\n")]


async def test_a_slash_in_one_message_is_no_command(shell: CommandLine) -> None:
    done = await chat(shell, "-m", "/stop")
    assert said(await events(shell, sid_of(done))) == ["/stop"]


@pytest.mark.parametrize(("arguments", "typed"), [((), ""), ((), " \n\t\n"), (("-m", ""), ""), (("-m", "  "), "\n")])
async def test_nothing_to_send_leaves_no_conversation(
    shell: CommandLine, arguments: tuple[str, ...], typed: str
) -> None:
    done = await chat(shell, *arguments, typed=typed)
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: the message is empty: nothing was sent, and no conversation was made\n"
    assert json.loads((await shell.run("sessions", "ls", "--json")).out) == []


async def test_json_is_each_event_of_the_turn_as_protocol_2_sends_it(shell: CommandLine, tmp_path: Path) -> None:
    async with running_server(tmp_path / "served") as server:
        done = await chat(shell, "--server", server.url, "--json", "-m", "$ echo one")
        stored = json.loads((await shell.run("sessions", "export", sid_of(done), "--server", server.url)).out)[
            "trajectory"
        ]
        assert done.err == f"Conversation {sid_of(done)}\n"
        printed = [json.loads(line) for line in done.out.splitlines()]
        assert [event["id"] for event in printed] == list(range(len(printed)))
        assert [event for event in printed if event in stored] == stored
        assert any(event.get("observation") == "turn_ended" for event in printed)
        more = await chat(shell, "--server", server.url, "--conversation", sid_of(done), "--json", typed="hello")
        assert json.loads(more.out.splitlines()[0])["id"] == len(printed)


async def test_json_holds_no_words_for_people_where_a_turn_fails(shell: CommandLine) -> None:
    done = await chat(shell, "--json", "--model", "scripted", "-m", "error")
    assert done.code == 1
    assert all(isinstance(json.loads(line), dict) for line in done.out.splitlines())
    assert "error: The model's provider cannot be reached" in done.err


async def test_a_scripted_model_is_played_in_this_process(shell: CommandLine, tmp_path: Path) -> None:
    told, failed = await asyncio.gather(
        chat(shell, "--model", "scripted", typed="look around\n\n"),
        chat(CommandLine(tmp_path / "other"), "--model", "scripted", typed="error\n"),
    )
    assert told.code == 0, told.err
    assert told.out.splitlines()[:2] == ["Let me look at the workspace first.", "$ pwd && ls -la"]
    assert told.out.splitlines()[-1] == "I wrote hello.py and ran it."
    assert "\x1b" not in told.out
    assert failed.code == 1
    assert "error: The model's provider cannot be reached" in failed.err


async def test_a_question_ends_the_call_and_another_call_answers_it(shell: CommandLine) -> None:
    asked = await chat(shell, "--confirm", "-m", "$ touch a; echo made")
    assert asked.code == 1
    assert "The agent asks to do this: $ touch a; echo made" in asked.out
    sid = sid_of(asked)
    told = f"give it with: python -m openhands_sessions chat --conversation {sid} -m y (or n, or say why not)"
    assert told in asked.err
    answered = await chat(shell, "--conversation", sid, "-m", "y")
    assert (answered.code, answered.out.splitlines()) == (0, ["made", "Done. What next?"])


async def test_a_pipe_and_help_load_no_line_editor(shell: CommandLine) -> None:
    told = await CommandLine(shell.data_dir, {"PYTHONPROFILEIMPORTTIME": "1"}).run("chat", "-m", "$ echo one")
    assert "openhands_sessions.cli.chat" in told.err
    assert not [line for line in told.err.splitlines() if "prompt_toolkit" in line or "rich.markdown" in line]


async def test_an_open_pipe_that_says_nothing_is_named(shell: CommandLine) -> None:
    async with shell.start("chat", "-m", "$ echo one") as running:
        await running.says("Reading standard input until it ends", on_stderr=True)
        assert running.process.stdin is not None
        running.process.stdin.close()
        assert await running.says("Done. What next?")
        assert await running.code() == 0


async def test_a_closed_input_is_none(shell: CommandLine) -> None:
    command = f"exec {os.sys.executable} -m openhands_sessions chat -m '$ echo one' <&-"  # type: ignore[attr-defined]
    process = await asyncio.create_subprocess_shell(command, env=shell.environ, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert (process.returncode, out.decode().splitlines()[1]) == (0, "one")
