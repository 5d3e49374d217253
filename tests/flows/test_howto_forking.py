"""`docs/howto/fork-and-merge.md` and `save-and-load-files.md`: their commands and programs, as they stand there."""

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import CommandLine
from tests.support.library_programs import LibraryPrograms
from tests.support.running_server import Server
from tests.support.server_clients import Clients

PAGES = Path(__file__).parents[2] / "docs" / "howto"
FORKING = (PAGES / "fork-and-merge.md").read_text()
TYPED, CURLED = re.findall(r"(?<=\n\n)```\n(.*?)^```", FORKING, re.MULTILINE | re.DOTALL)
FORKS = "\n".join(re.findall(r"^```python\n(.*?)^```", FORKING, re.MULTILINE | re.DOTALL))
[FILES] = re.findall(r"^```python\n(.*?)^```", (PAGES / "save-and-load-files.md").read_text(), re.MULTILINE | re.DOTALL)
FORKED = """\
['By train']
['Plan a trip', 'By plane', 'By train']
1 0
2
('budget',) {'bags': 1, 'budget': 60, 'nights': 3}
"""
SCRIPT = """\
name: turns
replies:
  - steps:
      - {say: "Done."}
"""


@pytest.fixture
async def sid(server: Server, clients: Clients) -> str:
    """A conversation of one turn."""
    created = await clients.rest.create("first", llm_model=server.script("turns", SCRIPT))
    client = clients.protocol2(created)
    await client.connect()
    await client.until_state("awaiting_user_input", after=3)
    return created


async def say(clients: Clients, sid: str, text: str) -> None:
    client = clients.protocol2(sid)
    await client.connect()
    said = await client.say(text)
    await client.until_state("awaiting_user_input", after=said)
    await client.leave()


async def test_the_commands_of_the_command_line_and_over_rest(server: Server, clients: Clients, sid: str) -> None:
    shell, done = CommandLine(server.data_dir), []
    lines = TYPED.splitlines()
    for line in lines:
        program, *arguments = shlex.split(line.replace("$ID", sid))
        assert program == "openhands-sessions"
        done.append(await shell.run(*arguments, "--server", server.url))
        if "fork" in arguments:
            await say(clients, "experiment", "second")
            await say(clients, sid, "third")
    assert [each.code for each in done] == [0] * 5, [each.err for each in done]
    labelled, forked, compared, merged, restored = (each.out for each in done)
    assert "'start'" in labelled
    assert forked == "experiment\n"
    assert [line.split()[0] + line.split()[-1] for line in compared.splitlines()[1:]] == ["-second", "+third"]
    assert "1 turns came from there" in merged
    assert "'alone'" in merged
    assert "goes on after event" in restored
    await over_rest(server, sid)


async def over_rest(server: Server, sid: str) -> None:
    commands = CURLED.replace("localhost:3000", server.url.removeprefix("http://")).replace("$ID", sid)
    answers: list[Any] = []
    for command in re.split(r"^(?=curl)", commands, flags=re.MULTILINE)[1:]:
        process = await asyncio.create_subprocess_exec("bash", "-c", command, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        answers.append(json.loads(out))
    forked, compared, merged = answers
    assert len(forked["conversation_id"]) == 32
    assert [turn["text"] for turn in compared["theirs"]] == ["second"]
    assert (merged["action"], merged["turns"], merged["conflicts"]) == ("merge", 1, [])


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize(
    ("block", "printed"), [(FORKS, FORKED), (FILES, "notes 2 2\n# notes\n")], ids=["forks", "files"]
)
async def test_the_programs_print_what_they_should(tmp_path: Path, block: str, printed: str) -> None:
    async with asyncio.timeout(500):
        programs = LibraryPrograms(folder=tmp_path, data_dir=tmp_path / "data")
        programs.script("replies:\n" + "  - steps: [{say: Well.}]\n" * 4)
        assert block.count("scripted:demo") == 1
        assert await programs.run(block.replace("scripted:demo", "scripted:play")) == printed
