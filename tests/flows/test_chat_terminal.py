"""`chat` as a person uses it, on a real terminal."""

import asyncio
import json
import re
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.test_chat import LINES, events, said
from tests.support.command_line import CommandLine, Terminal
from tests.support.model_replies import Reply, Tokens
from tests.support.model_server import model_server
from tests.support.running_server import processes_of, running_server, still_running

CTRL_C, CTRL_D, CTRL_J, ALT_ENTER, UP, TAB = "\x03", "\x04", "\n", "\x1b\r", "\x1b[A", "\t"
COLOUR = re.compile(rb"\x1b\[[0-9;]*(?:3[0-7]|9[0-7]|38;[0-9;]+)m")


@pytest.fixture
async def shell(data_dir: Path) -> AsyncIterator[CommandLine]:
    yield CommandLine(data_dir)
    assert not await still_running(processes_of(data_dir)), "processes were left behind"


@pytest.fixture
async def terminal(shell: CommandLine) -> AsyncIterator[Terminal]:
    """A new chat that asks for input."""
    async with shell.terminal("chat") as found:
        await found.prompts()
        yield found


def pasted(text: str) -> str:
    """As a terminal sends what is pasted."""
    return "\x1b[200~" + text.replace("\n", "\r") + "\x1b[201~"


async def conversation_of(terminal: Terminal) -> str:
    """Leave, and give the id that was told."""
    terminal.types(CTRL_D)
    assert await terminal.code() == 0
    return terminal.shown.split()[-1]


async def test_a_person_chats_answers_stops_and_comes_back(shell: CommandLine) -> None:
    async with shell.terminal("chat", "--confirm") as terminal:
        await terminal.shows("not isolated")
        await terminal.prompts()
        terminal.types("$ for i in 1 2 3; do echo line-$i; sleep 0.1; done; sleep 100\r")
        await terminal.shows("Conversation ")
        await terminal.shows("The agent asks to do this: $ for i")
        await terminal.prompts("Do it? [y/n, or say why not]")
        terminal.types("y\r")
        await terminal.shows("line-3")
        terminal.types(CTRL_C)
        await terminal.shows("Stopping; Ctrl-C again leaves.")
        await terminal.shows("Stopped.")
        await terminal.prompts()
        terminal.types(CTRL_C)
        await terminal.shows("Ctrl-C again or Ctrl-D leaves.")
        terminal.types(CTRL_C)
        await terminal.shows("--conversation ")
        assert await terminal.code() == 0
        assert [line for line in terminal.lines if line.startswith("line-")] == ["line-1", "line-2", "line-3"]
        sid = terminal.shown.split()[-1]
    async with shell.terminal("chat", "--conversation", sid) as terminal:
        await terminal.shows("> $ for i")
        await terminal.shows("Stopped.")
        await terminal.prompts()
        terminal.types("hello again\r")
        await terminal.shows("No model is configured")
        assert await conversation_of(terminal) == sid


async def test_a_chat_outlives_its_server_and_tells_so(shell: CommandLine, free_port: int) -> None:
    serving = ("serve", "--port", str(free_port))
    async with shell.start(*serving) as first:
        url = (await first.says("listens on")).split()[-1]
        async with shell.terminal("chat", "--server", url, "--model", "scripted") as terminal:
            await terminal.prompts()
            terminal.types("slow\r")
            await terminal.shows("I will work for a while. Press stop to end it.")
            await terminal.shows("second 1")
            first.process.kill()
            await terminal.shows("(The connection is lost; trying again.)")
            async with shell.start(*serving) as second:
                await terminal.shows("(Connected again.)")
                terminal.types(CTRL_C)
                await terminal.shows("Stopped.")
                await terminal.prompts()
                terminal.types(CTRL_D)
                assert await terminal.code() == 0
                second.process.send_signal(signal.SIGTERM)
                assert await second.code() == 0


async def test_a_paste_while_the_agent_works_is_one_message_and_nothing_of_it_is_lost(
    shell: CommandLine, terminal: Terminal
) -> None:
    terminal.types("$ for i in $(seq 400); do echo line-$i; sleep 0.005; done\r")
    await terminal.shows("line-20")
    terminal.types(pasted(LINES * 5))
    await terminal.shows("line-400")
    await terminal.looks(lambda lines: "row 199" in lines[-2] + lines[-1])
    assert b"\x1b[?2004l" not in terminal.raw, "a real terminal would not have bracketed it"
    terminal.types("\r")
    await terminal.shows("No model is configured")
    log = await events(shell, await conversation_of(terminal))
    assert said(log)[1:] == [LINES * 5]
    assert re.findall(r"line-(\d+)\n", terminal.shown) == [str(number) for number in range(1, 401)]


async def test_what_is_typed_ahead_stays_at_the_bottom_and_output_goes_above(terminal: Terminal) -> None:
    terminal.types("$ for i in $(seq 9); do echo line-$i; sleep 0.1; done\r")
    await terminal.shows("line-2")
    terminal.types("half a sen")
    await terminal.looks(lambda lines: lines[-1] == "> half a sen")
    await terminal.shows("line-4")
    terminal.types("tence")
    lines = await terminal.looks(lambda lines: "Done. What next?" in lines)
    assert [line for line in lines if line.startswith("line-")] == [f"line-{number}" for number in range(1, 10)]
    assert lines[-1] == "> half a sentence"
    terminal.types(CTRL_C)
    await terminal.prompts()


async def test_a_message_may_have_several_lines(shell: CommandLine, terminal: Terminal) -> None:
    terminal.types(f"one{CTRL_J}two{ALT_ENTER}three\r")
    await terminal.shows("No model is configured")
    await terminal.prompts()
    assert said(await events(shell, await conversation_of(terminal))) == ["one\ntwo\nthree"]


async def test_what_was_typed_is_there_in_the_next_chat_for_its_user_alone(
    shell: CommandLine, terminal: Terminal
) -> None:
    terminal.types(f"$ echo one{CTRL_J}echo two\r")
    await terminal.shows("Done. What next?")
    await conversation_of(terminal)
    history = shell.data_dir / "chat_history.jsonl"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    async with shell.terminal("chat") as again:
        await again.prompts()
        again.types(UP)
        await again.looks(lambda lines: lines[-2:] == ["> $ echo one", "  echo two"])


async def test_what_was_typed_to_a_server_is_in_the_users_state_folder(shell: CommandLine, tmp_path: Path) -> None:
    async with running_server(tmp_path / "served") as server:
        state = CommandLine(shell.data_dir, {"XDG_STATE_HOME": str(tmp_path / "state")})
        async with state.terminal("chat", "--server", server.url) as terminal:
            await terminal.prompts()
            terminal.types("hello\r")
            await terminal.shows("No model is configured")
            await conversation_of(terminal)
    history = tmp_path / "state" / "openhands-sessions" / "chat_history.jsonl"
    assert history.read_text() == '"hello"\n'
    assert not (shell.data_dir / "chat_history.jsonl").exists()


async def test_commands_of_the_chat_are_carried_out_completed_and_corrected(
    shell: CommandLine, terminal: Terminal
) -> None:
    terminal.types("/he")
    await terminal.looks(lambda lines: "this list" in lines[-1])
    terminal.types(TAB)
    await terminal.looks(lambda lines: "> /help" in lines)
    terminal.types("\r")
    await terminal.shows("/files FOLDER")
    terminal.types("/model scripted\r")
    await terminal.shows("Model: scripted")
    terminal.types("/stpo\r")
    await terminal.shows("there is no command /stpo; did you mean /stop?")
    terminal.types("look around\r")
    await terminal.shows("I wrote hello.py and ran it.")
    await terminal.prompts()
    terminal.types("/files\r")
    await terminal.looks(lambda lines: "hello.py" in lines)
    terminal.types("/model scripted:none\r")
    await terminal.shows("there is no script 'none'")
    terminal.types("/model scripted:demo\r")
    await terminal.shows("Model: scripted:demo, from your next message on.")
    terminal.types("/undo\r")
    await terminal.shows("Taken back, from message")
    terminal.types("//stop here\r")
    await terminal.shows("> //stop here")
    await terminal.prompts()
    log = await events(shell, await conversation_of(terminal))
    assert said(log) == ["look around", "/stop here"]
    assert [event["extras"]["reason"] for event in log if event.get("observation") == "history_moved"] == ["undo"]


async def test_a_queued_message_is_sent_after_the_turn(shell: CommandLine, terminal: Terminal) -> None:
    terminal.types("$ echo begun; sleep 1; echo ended\r")
    await terminal.looks(lambda lines: "begun" in lines)
    terminal.types("/queue $ echo later\r")
    await terminal.shows("It is sent once the agent has ended its turn.")
    await terminal.looks(lambda lines: "later" in lines)
    await terminal.prompts()
    assert said(await events(shell, await conversation_of(terminal)))[1:] == ["$ echo later"]


async def test_stop_is_a_command_too(terminal: Terminal) -> None:
    terminal.types("$ echo begun; sleep 100\r")
    await terminal.looks(lambda lines: "begun" in lines)
    terminal.types("/stop\r")
    await terminal.shows("Stopped.")
    terminal.types("/stop\r")
    await terminal.shows("The agent is not working.")


async def test_a_chat_without_a_message_leaves_no_conversation(shell: CommandLine, terminal: Terminal) -> None:
    terminal.types("  \r/help\r")
    await terminal.looks(lambda lines: any(line.startswith("Ctrl-D ") for line in lines))
    terminal.types(CTRL_D)
    assert await terminal.code() == 0
    assert "--conversation" not in terminal.shown
    assert json.loads((await shell.run("sessions", "ls", "--json")).out) == []


async def test_markdown_and_what_a_turn_has_used_are_shown(shell: CommandLine) -> None:
    text = "Some **bold** words.\n\n- a `list`\n- \x1b[2Jof two\n\n```sh\nls -la\n```\n"
    answers = [Reply(text=text, usage=Tokens(prompt=1_234, completion=56)), Reply(text="Bye.", usage=Tokens(prompt=7))]
    async with model_server(answers) as provider:
        flags = ("--model", "openai/test-model", "--base-url", provider.url, "--set", "llm.api_key=k")
        async with shell.terminal("chat", *flags) as terminal:
            await terminal.prompts()
            terminal.types("hello\r")
            await terminal.shows("1,234 tokens in, 56 out")
            lines = await terminal.prompts()
            for line in ("Some bold words.", " • a list", " • of two", " ls -la", "1,234 tokens in, 56 out"):
                assert line in lines
            terminal.types("bye\r")
            await terminal.shows("7 tokens in, 20 out")
            await terminal.prompts()
            terminal.types("/model\r")
            await terminal.shows("1,241 tokens in, 76 out")


async def test_a_terminal_that_is_gone_ends_the_chat_and_the_conversation_stays(shell: CommandLine) -> None:
    async with shell.terminal("chat") as terminal:
        await terminal.prompts()
        terminal.types("$ sleep 100\r")
        await terminal.shows("$ sleep 100")
        await terminal.shows("$ sleep 100")
        terminal.close()
        assert await terminal.code() == 128 + signal.SIGHUP
    assert len(json.loads((await shell.run("sessions", "ls", "--json")).out)) == 1


async def test_a_signal_ends_a_chat_and_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    terminal.process.send_signal(signal.SIGTERM)
    assert await terminal.code() == 128 + signal.SIGTERM
    await terminal.shows("")
    assert terminal.raw.rindex(b"\x1b[?2004l") > terminal.raw.rindex(b"\x1b[?2004h")


async def test_a_terminal_without_codes_gets_none(shell: CommandLine) -> None:
    async with CommandLine(shell.data_dir, {"TERM": "dumb"}).terminal("chat") as terminal:
        await terminal.shows("> ")
        terminal.types("$ echo one\n")
        await terminal.shows("Done. What next?\n> ")
        terminal.types("/stop\n")
        await terminal.shows("The agent is not working.\n> ")
        terminal.types(CTRL_D)
        assert await terminal.code() == 0
        assert b"\x1b" not in terminal.raw


async def test_no_colour_is_shown_where_none_is_wanted(shell: CommandLine) -> None:
    async with CommandLine(shell.data_dir, {"NO_COLOR": "1"}).terminal("chat") as terminal:
        await terminal.prompts()
        terminal.types("$ echo one; exit 3\r")
        await terminal.shows("exit code 3")
        await terminal.prompts()
        assert not COLOUR.search(terminal.raw)


async def test_one_message_on_a_terminal_is_answered_in_markdown_and_nothing_is_asked(shell: CommandLine) -> None:
    async with shell.terminal("chat", "--model", "scripted", "-m", "look around") as terminal:
        assert await asyncio.wait_for(terminal.code(), 60) == 0
        lines = await terminal.looks(lambda lines: "I wrote hello.py and ran it." in lines)
        assert "> look around" not in lines
        assert lines[0].startswith("Conversation ")
