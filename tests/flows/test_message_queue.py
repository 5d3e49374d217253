"""Messages are queued, changed and followed over REST, server-sent events and the socket, and survive kills."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "queue-messages.md"
WORKS = "$ until [ -e go ]; do sleep 0.05; done"
"""A turn that goes on until it is let go."""


@pytest.fixture
def server(shared_server: Server) -> Server:
    return shared_server


async def sent(clients: Clients, sid: str, content: str, mode: str = "queue", **more: str) -> dict[str, Any]:
    status, answer = await clients.rest.ask(
        "POST", f"/api/conversations/{sid}/messages", {"content": content, "mode": mode, **more}
    )
    assert status == 200, answer
    accepted: dict[str, Any] = answer
    return accepted


async def commanded(clients: Clients, sid: str, action: str, **args: object) -> tuple[int, Any]:
    return await clients.rest.ask("POST", f"/api/conversations/{sid}/events", {"action": action, "args": args})


async def working(clients: Clients) -> tuple[str, Protocol2Client]:
    """A conversation in the middle of a turn, and who follows it."""
    sid = await clients.rest.create(WORKS)
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_event(lambda event: event.get("action") == "run")
    return sid, client


def let_go(server: Server, sid: str) -> None:
    """Have the turn end."""
    (server.workspace(sid) / "go").touch()


def said(client: Protocol2Client) -> list[str]:
    return [
        event["args"]["content"]
        for event in client.events
        if event.get("action") == "message" and event["source"] == "user"
    ]


def is_end_of(turn: int) -> Any:
    return lambda event: event.get("observation") == "turn_ended" and event["turn"] == turn


async def test_a_queue_is_shown_changed_and_worked_off_in_its_order(server: Server, clients: Clients) -> None:
    sid, client = await working(clients)
    accepted = [await sent(clients, sid, f"$ echo {name} >> notes") for name in ("a", "b", "c")]
    assert (await clients.rest.describe(sid))["session"]["queued"] == 3
    status, edited = await commanded(
        clients, sid, "edit_queued_message", id=accepted[1]["id"], content="$ echo B >> notes"
    )
    assert (status, edited["turn"]) == (200, accepted[1]["turn"])
    assert (await commanded(clients, sid, "remove_queued_message", id=accepted[0]["id"]))[0] == 200
    again, refusal = await commanded(clients, sid, "remove_queued_message", id=accepted[0]["id"])
    assert (again, refusal["code"]) == (409, "not_accepting")
    unknown, refusal = await commanded(clients, sid, "remove_queued_message", id=0)
    assert (unknown, refusal["code"], refusal["field"]) == (422, "bad_input", "id")
    let_go(server, sid)
    await client.until_event(is_end_of(accepted[2]["turn"]))
    assert (server.workspace(sid) / "notes").read_text() == "B\nc\n"
    shown = (await clients.rest.describe(sid))["session"]
    assert (shown["queued"], shown["processing"], shown["pending"]) == (0, False, None)


async def test_a_message_with_a_key_is_sent_once(server: Server, clients: Clients) -> None:
    sid, client = await working(clients)
    first, again = [await sent(clients, sid, "$ echo a", key="mine") for _ in range(2)]
    assert first == again
    let_go(server, sid)
    await client.until_event(is_end_of(first["turn"]))
    assert said(client).count("$ echo a") == 1
    begun = [
        event for event in client.events if event.get("turn") == first["turn"] and event.get("action") == "message"
    ]
    assert begun[0]["args"]["key"] == "mine"


async def test_a_stream_of_a_message_ends_with_its_turn_and_not_with_another(server: Server, clients: Clients) -> None:
    sid, _ = await working(clients)
    url = f"{clients.rest.url}/api/conversations/{sid}/messages?stream=true"
    async with (
        asyncio.timeout(30),
        clients.rest.http.post(url, json={"content": "$ echo a", "mode": "queue"}) as answer,
    ):
        assert answer.content_type == "text/event-stream"
        let_go(server, sid)
        events = data_of(await answer.text())
    assert events[0]["action"] == "message_queued"
    ends = [event["turn"] for event in events if event.get("observation") == "turn_ended"]
    assert len(ends) == 2
    assert events[-1]["observation"] == "turn_ended"
    assert ends[-1] == events[0]["turn"] == events[0]["id"]


def data_of(text: str) -> list[dict[str, Any]]:
    """The stored events of a stream."""
    return [json.loads(line) for line in re.findall(r"^id: .*\nevent: oh_event\ndata: (.*)$", text, re.MULTILINE)]


async def test_a_stop_that_names_a_turn_hits_no_other(clients: Clients) -> None:
    sid, client = await working(clients)
    running = client.events[-1]["turn"]
    queued = await sent(clients, sid, "$ echo a")
    assert (await commanded(clients, sid, "change_agent_state", agent_state="stopped", turn=queued["turn"]))[0] == 200
    assert (await clients.rest.describe(sid))["session"]["processing"]
    assert (await commanded(clients, sid, "change_agent_state", agent_state="stopped", turn=running))[0] == 200
    await client.until_event(is_end_of(running))
    late, refusal = await commanded(clients, sid, "change_agent_state", agent_state="stopped", turn=running)
    assert (late, refusal["code"]) == (409, "not_accepting")


async def test_a_v0_client_sees_a_queued_message_when_its_turn_begins(server: Server, clients: Clients) -> None:
    sid, client = await working(clients)
    old = clients.v0(sid)
    await old.connect()
    queued = await sent(clients, sid, "$ echo a")
    let_go(server, sid)
    await client.until_event(is_end_of(queued["turn"]))
    await old.until_event(lambda event: event.get("observation") == "run" and event["content"].startswith("a"))
    assert not [event for event in old.events if "queued" in str(event.get("action"))]
    words = [event["args"]["content"] for event in old.events if event.get("action") == "message"]
    assert words.count("$ echo a") == 1


@pytest.mark.slow
async def test_a_killed_server_goes_on_with_its_queue(data_dir: Path) -> None:
    async with running_server(data_dir) as server, Clients(server.url) as clients:
        sid, _ = await working(clients)
        queued = await sent(clients, sid, "$ echo a >> notes", key="mine")
        await server.killed()
        await server.start()
        assert await sent(clients, sid, "$ echo a >> notes", key="mine") == queued
        client = clients.protocol2(sid)
        await client.connect()
        let_go(server, sid)
        await client.until_event(is_end_of(queued["turn"]))
        assert (server.workspace(sid) / "notes").read_text() == "a\n"
        assert [event["id"] for event in client.events] == list(range(client.last + 1))


async def test_the_howtos_commands_work(server: Server, clients: Clients) -> None:
    named, queue, edit, remove, stream, stop = re.findall(r"^(?:URL=|curl).*$", PAGE.read_text(), re.MULTILINE)
    named = named.replace("127.0.0.1:3000", urlsplit(server.url).netloc)
    sid, _ = await working(clients)

    async def run(command: str, number: int = 12) -> str:
        shell = await asyncio.create_subprocess_shell(
            f"{named}\n{command}".replace(": 12", f": {number}"),
            env={**os.environ, "ID": sid, "OHS_SESSION_API_KEY": ""},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(20):
            shown, _ = await shell.communicate()
        assert shell.returncode == 0
        return shown.decode()

    first = json.loads(await run(queue))
    assert first["id"] == first["turn"]
    assert json.loads(await run(edit, first["id"]))["success"]
    assert json.loads(await run(remove, first["id"]))["success"]
    following = asyncio.create_task(run(stream))
    client = clients.protocol2(sid)
    await client.connect()
    asked = await client.until_event(
        lambda event: event.get("action") == "message_queued" and event["id"] > first["id"]
    )
    assert json.loads(await run(stop, asked["id"]))["success"]
    assert data_of(await following)[-1]["action"] == "queued_messages_dropped"
