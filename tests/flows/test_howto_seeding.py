"""`docs/howto/begin-from-earlier-messages.md`: its commands, as they stand there, and what is refused."""

import asyncio
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

from tests.support.command_line import CommandLine
from tests.support.model_replies import Fault, FaultKind, Reply
from tests.support.model_server import MODEL, model_server
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "begin-from-earlier-messages.md").read_text()
MESSAGES, TYPED, CREATED, CURLED = re.findall(r"^```\w*\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
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
    _, seeding = TYPED.splitlines()
    program, *arguments = shlex.split(
        seeding.replace("$ID", sid).replace("messages.json", str(tmp_path / "messages.json"))
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


async def test_a_conversation_begins_from_messages_by_the_command_of_the_page(
    server: Server, clients: Clients, tmp_path: Path
) -> None:
    (tmp_path / "messages.json").write_text(MESSAGES)
    model = server.script("boat", SCRIPT)
    begun, _ = TYPED.splitlines()
    program, *arguments = shlex.split(begun.replace("messages.json", str(tmp_path / "messages.json")))
    assert program == "openhands-sessions"
    extra = ("--server", server.url, "--model", model, "-m", "Go on.")
    done = await CommandLine(server.data_dir).run(*arguments, *extra)
    assert done.code == 0, done.err
    _, listed = await clients.rest.ask("GET", "/api/conversations")
    [found] = listed["results"]
    events = await clients.rest.events(found["conversation_id"])
    assert [kind for event in events if (kind := event.get("action")) in ("history_seeded", "message")][:2] == [
        "history_seeded",
        "message",
    ]
    done = await CommandLine(server.data_dir).run(*arguments, "--conversation", found["conversation_id"])
    assert done.code != 0
    assert "sessions history --seed" in done.err


async def test_a_creation_with_a_key_seeds_once_however_often_it_is_asked_for(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "messages.json").write_text(MESSAGES)
    gate = asyncio.Event()
    replies = [Reply(text="A boat is built.", gate=gate), Reply(text="The sail is next.")]
    async with model_server(replies) as model:
        settings = {"OHS_LLM__MODEL": f"openai/{MODEL}", "OHS_LLM__BASE_URL": model.url, "OHS_LLM__API_KEY": "key"}
        async with running_server(data_dir, settings) as server, Clients(server.url) as clients:
            command = CREATED.replace("localhost:3000", server.url.removeprefix("http://"))
            first = asyncio.create_task(curled(command, tmp_path))
            await model.asked(1)
            await curled(command, tmp_path)  # while it is under way: refused, or told of the same conversation
            gate.set()
            created = await first
            again = await curled(command, tmp_path)
            sid = created["conversation_id"]
            assert again["conversation_id"] == sid
            client = clients.protocol2(sid)
            await client.connect()
            await client.until_event(lambda event: event.get("observation") == "turn_ended")
            events = await clients.rest.events(sid)
            _, listed = await clients.rest.ask("GET", "/api/conversations")
        shown = [str(message["content"]) for message in model.requests[-1].body["messages"]]
    assert [one["conversation_id"] for one in listed["results"]] == [sid]
    assert [event["args"]["summary"] for event in events if event.get("action") == "history_seeded"] == [
        "A boat is built."
    ]
    said = [event["args"]["content"] for event in events if event.get("action") == "message"]
    assert said == ["Go on.", "The sail is next."]
    assert "A boat is built." in shown[-2]
    assert shown[-1] == "Go on."


async def curled(command: str, folder: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec("bash", "-c", command, stdout=asyncio.subprocess.PIPE, cwd=folder)
    out, _ = await process.communicate()
    answer: dict[str, Any] = json.loads(out)
    return answer


async def test_a_failing_model_leaves_no_conversation_behind(data_dir: Path) -> None:
    said = {"role": "user", "content": "build a boat"}
    async with model_server(lambda body: Fault(kind=FaultKind.UNAVAILABLE)) as model:
        settings = {
            "OHS_LLM__MODEL": f"openai/{MODEL}",
            "OHS_LLM__BASE_URL": model.url,
            "OHS_LLM__API_KEY": "key",
            "OHS_LLM__RETRIES": "0",
        }
        async with running_server(data_dir, settings) as server, Clients(server.url) as clients:
            body = {"seed_messages": [said], "initial_user_msg": "Go on.", "key": "k"}
            status, told = await clients.rest.ask("POST", "/api/conversations", body)
            assert (status, "were not summed up" in told["message"]) == (409, True), told
            refused: list[dict[str, Any]] = [{"seed_messages": [7]}, {"seed_messages": []}]
            for wrong in (*refused, {"seed_messages": [said], "replay_json": "[]"}):
                status, told = await clients.rest.ask("POST", "/api/conversations", wrong)
                assert (status, "seed_messages" in told["message"]) == (422, True), told
            _, listed = await clients.rest.ask("GET", "/api/conversations")
            assert listed["results"] == []
            assert not list((data_dir / "runtimes").glob("*/workspace"))
            model.play([Reply(text="A boat."), Reply(text="Done.")])
            status, told = await clients.rest.ask("POST", "/api/conversations", body)
            assert status == 200, "a failure leaves the key free"


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
