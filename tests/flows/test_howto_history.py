"""`docs/howto/undo-and-branches.md`: its commands, as they stand there."""

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import CommandLine
from tests.support.running_server import Server
from tests.support.server_clients import Clients

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "undo-and-branches.md").read_text()
TYPED, CURLED = re.findall(r"^```\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
SCRIPT = """\
name: turns
replies:
  - steps:
      - {say: "Done."}
"""


@pytest.fixture
async def sid(server: Server, clients: Clients) -> str:
    """A conversation of two turns."""
    created = await clients.rest.create("first", llm_model=server.script("turns", SCRIPT))
    client = clients.protocol2(created)
    await client.connect()
    await client.until_state("awaiting_user_input", after=3)
    said = await client.say("second")
    await client.until_state("awaiting_user_input", after=said)
    return created


async def test_the_commands_of_the_command_line(server: Server, sid: str) -> None:
    shell = CommandLine(server.data_dir)
    done = []
    for line in TYPED.splitlines():
        program, *arguments = shlex.split(line.replace("$ID", sid))
        assert program == "openhands-sessions"
        done.append(await shell.run(*arguments, "--server", server.url))
    assert [each.code for each in done] == [0] * 7, [each.err for each in done]
    listed, labelled, undone, restored, switched, back, deleted = (each.out for each in done)
    assert [line.split()[1] for line in listed.splitlines() if line[:1].isdigit()] == ["first", "second"]
    assert "'tidy'" in labelled
    assert "second" in undone
    assert "Taken back" not in restored
    assert "on branch '1'" in switched
    assert "on branch 'main'" in back
    assert deleted == "There is no branch '1' any more.\n"


async def test_the_commands_over_rest(server: Server, sid: str) -> None:
    commands = CURLED.replace("localhost:3000", server.url.removeprefix("http://")).replace("$ID", sid)
    answers: list[Any] = []
    for command in re.split(r"^(?=curl)", commands, flags=re.MULTILINE)[1:]:
        process = await asyncio.create_subprocess_exec("bash", "-c", command, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        answers.append(json.loads(out))
    read, undone, switched, compacted = answers
    assert [turn["text"] for turn in read["turns"]] == ["first", "second"]
    assert (undone["text"], undone["left_branch"]) == ("second", "first try")
    assert switched["branch"] == "first try"
    assert compacted["characters_before"] == compacted["characters_after"]
    assert "othing" in compacted["told"]


async def test_a_change_beside_a_server_that_has_the_conversation_open_names_the_flag(server: Server, sid: str) -> None:
    done = await CommandLine(server.data_dir).run("sessions", "history", sid, "--undo")
    assert done.code == 1
    assert "a server has this conversation open; act through it: --server ADDRESS" in done.err
