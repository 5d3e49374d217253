"""`docs/howto/begin-from-earlier-messages.md`: its commands, as they stand there, and what is refused."""

import asyncio
import io
import json
import re
import shlex
from pathlib import Path

from tests.support.command_line import CommandLine
from tests.support.running_server import Server
from tests.support.server_clients import Clients

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "begin-from-earlier-messages.md").read_text()
MESSAGES, TYPED, CURLED = re.findall(r"^```\w*\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
SCRIPT = """\
name: boat
replies:
  - steps:
      - {say: "A boat is built; the hull is done."}
"""


async def test_the_commands_seed_a_conversation_by_its_key_once(
    server: Server, clients: Clients, tmp_path: Path
) -> None:
    (tmp_path / "messages.json").write_text(MESSAGES)
    sid = await clients.rest.create(llm_model=server.script("boat", SCRIPT))
    program, *arguments = shlex.split(
        TYPED.replace("$ID", sid).replace("messages.json", str(tmp_path / "messages.json"))
    )
    assert program == "openhands-sessions"
    done = await CommandLine(server.data_dir).run(*arguments, "--server", server.url)
    assert (done.code, done.out.strip()) == (0, "2 earlier messages were summed up."), done.err
    command = CURLED.replace("localhost:3000", server.url.removeprefix("http://")).replace("$ID", sid)
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", command, stdout=asyncio.subprocess.PIPE, cwd=tmp_path
        )
        out, _ = await process.communicate()
        assert json.loads(out)["told"] == "2 earlier messages were summed up."
    _, found = await clients.rest.ask("GET", f"/api/conversations/{sid}/events?limit=100")
    seeded = [event for event in found["events"] if event.get("action") == "history_seeded"]
    assert [event["args"]["summary"] for event in seeded] == ["A boat is built; the hull is done."] * 2
    purposes = [event["extras"]["purpose"] for event in found["events"] if event.get("observation") == "model_called"]
    assert purposes == ["seed"] * 2


async def test_what_cannot_be_taken_is_refused_and_leaves_the_conversation_as_it_was(
    server: Server, clients: Clients, tmp_path: Path
) -> None:
    sid = await clients.rest.create(llm_model=server.script("boat", SCRIPT))
    said = {"role": "user", "content": "x"}
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input", after=0)
    before = await clients.rest.ask("GET", f"/api/conversations/{sid}/events?limit=100")
    for messages, status, words in (
        ([said] * 10_000, 422, "at most 5000"),
        ([], 422, "at least 1"),
        ("text", 422, "args.messages"),
        ([7, None, {"role": "root", "content": "x"}, {"role": "system", "content": "x"}], 422, "messages must hold"),
    ):
        body = {"action": "seed", "args": {"messages": messages}}
        answered, told = await clients.rest.ask("POST", f"/api/conversations/{sid}/history", body)
        assert answered == status, told
        assert words in told["message"], told
    large = io.BytesIO(b'{"action": "seed", "args": {"messages": ["' + b"x" * 50_000_000 + b'"]}}')
    async with clients.rest.http.post(f"{server.url}/api/conversations/{sid}/history", data=large) as answer:
        assert answer.status == 413
    assert await clients.rest.ask("GET", f"/api/conversations/{sid}/events?limit=100") == before
    for name, content, words in (
        ("a", "{", "is no JSON"),
        ("b", "{}", "must hold a list"),
        ("c", None, "cannot be read"),
    ):
        if content is not None:
            (tmp_path / name).write_text(content)
        done = await CommandLine(server.data_dir).run("sessions", "history", sid, "--seed", str(tmp_path / name))
        assert done.code != 0
        assert words in done.err
        assert str(tmp_path) not in done.err
