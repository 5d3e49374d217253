"""A conversation is followed by server-sent events: each event once, from any cursor, to an end with a reason."""

import asyncio
import os
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from openhands_sessions.config.config import Config, ServerSection
from openhands_sessions.server.rest import event_stream
from tests.support.event_stream_client import EventStreamClient, Frame
from tests.support.in_process_server import in_process_server
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

TALK = """
name: talk
replies:
  - steps:
      - {call: execute_bash, with: {command: "for n in 1 2 3; do echo line $n; sleep 0.2; done"}}
      - say: All done, in words that come piece by piece.
"""
LARGE = 1_000_000
LARGE_MESSAGES = 5


def follower(clients: Clients, sid: str) -> EventStreamClient:
    return EventStreamClient(clients.rest.http, clients.rest.url, sid)


def is_turn_end(frame: Frame) -> bool:
    return frame.id is not None and frame.data.get("observation") == "turn_ended"


async def test_a_follower_has_every_event_once_and_pieces_of_text_without_a_number(
    server: Server, clients: Clients
) -> None:
    sid = await clients.rest.create("go", llm_model=server.script("talk", TALK))
    client = follower(clients, sid)
    await client.until(is_turn_end)
    assert client.events == (await clients.rest.events(sid))[: client.last + 1]
    assert [event["id"] for event in client.events] == list(range(client.last + 1))
    deltas = [frame for frame in client.frames if frame.name == "oh_delta"]
    assert {frame.data["kind"] for frame in deltas} == {"output"}
    assert {frame.id for frame in deltas} == {None}


async def test_who_comes_back_gets_what_is_missing_by_the_last_id_or_from_a_cursor(
    server: Server, clients: Clients
) -> None:
    sid = await clients.rest.create("$ echo one")
    client, late = follower(clients, sid), follower(clients, sid)
    await client.until(lambda frame: frame.id == 1)
    await client.until(is_turn_end)  # with Last-Event-ID
    assert [event["id"] for event in client.events] == list(range(client.last + 1))
    await late.until(is_turn_end, after=client.last - 2)
    assert late.events == client.events[-2:]


@pytest.mark.parametrize("end", ["stopped", "deleted", "shutdown"])
async def test_a_stream_ends_with_the_reason_after_the_last_event(end: str, server: Server, clients: Clients) -> None:
    sid = await clients.rest.create("$ echo one")
    client = follower(clients, sid)
    await client.until(is_turn_end)
    client.connected.clear()
    reading = asyncio.create_task(client.until())
    async with asyncio.timeout(20):
        await client.connected.wait()
    path = f"/api/conversations/{sid}"
    match end:
        case "stopped":
            await clients.rest.ask("POST", f"{path}/stop")
        case "deleted":
            await clients.rest.ask("DELETE", path)
        case _:
            assert await server.stopped() == 0
    await reading
    assert client.ended == end
    assert [event["id"] for event in client.events] == list(range(client.last + 1))


async def test_a_stream_of_what_is_unknown_or_from_beyond_the_log_is_refused(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create("$ echo one")
    path = f"/api/conversations/{sid}/events/stream"
    status, answer = await clients.rest.ask("GET", path.replace(sid, "0" * 32))
    assert (status, answer["code"]) == (404, "not_found")
    for query, words in (({"after": 1_000}, "beyond the newest event"), ({"after": "x"}, "whole number")):
        status, answer = await clients.rest.ask("GET", path, **query)
        assert (status, answer["field"]) == (422, "after")
        assert words in answer["message"]
    for header in ("1000", "-1", "one"):
        async with clients.rest.http.get(clients.rest.url + path, headers={"Last-Event-ID": header}) as refused:
            assert refused.status == 422
            assert (await refused.json())["field"] == "Last-Event-ID"


async def test_a_client_that_does_not_read_is_cut_and_others_are_served(data_dir: Path) -> None:
    async with (
        running_server(data_dir, {"OHS_LIMITS__SLOW_CLIENT_GRACE": "0.5"}) as server,
        Clients(server.url) as clients,
    ):
        sid = await clients.rest.create()
        other = clients.protocol2(sid)
        await other.connect()
        for _ in range(LARGE_MESSAGES):  # more than the system's buffers hold
            said = await other.say("x" * LARGE)
        await other.until_state("awaiting_user_input", after=said)
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", server.port))
            host = urlsplit(server.url).netloc
            deaf.sendall(f"GET /api/conversations/{sid}/events/stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            [line] = await server.logged("client cut", 1)
        assert (line["conversation_id"], line["reason"]) == (sid, "slow_consumer")
        said = await other.say("still here?")
        await other.until_state("awaiting_user_input", after=said)
        assert other.faults == []


async def test_a_silent_stream_is_kept_alive(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE", 0.05)
    config = Config(data_dir=data_dir, server=ServerSection(idle_timeout=0.5))
    async with in_process_server(config) as served, Clients(served.url) as clients:
        sid = await clients.rest.create()
        await clients.until_ready(sid)
        operator = clients.operator()
        await operator.connect()
        client = follower(clients, sid)
        with capture_logs() as lines:
            await client.until(lambda frame: not frame.name)  # and leaves in the silence
            assert client.frames[-1] == Frame("")
            await operator.until(lambda: operator.state_of(sid) == "Closed")
        assert [line["cause"] for line in lines if line.get("state") == "Closed"] == ["idle"]
        assert [line for line in lines if line["log_level"] == "error"] == []


async def test_a_stream_that_cannot_begin_is_answered_with_its_status(data_dir: Path) -> None:
    config = Config(data_dir=data_dir, server=ServerSection(max_sessions=1))
    async with in_process_server(config) as served, Clients(served.url) as clients:
        sid = await clients.rest.create()
        await clients.rest.ask("POST", f"/api/conversations/{sid}/stop")
        busy = await clients.rest.create("$ sleep 60")
        status, answer = await clients.rest.ask("GET", f"/api/conversations/{sid}/events/stream")
        assert (status, answer["code"]) == (503, "at_capacity")
        for each in (sid, busy):
            assert await clients.rest.delete(each)


async def test_the_howtos_command_follows_a_conversation(server: Server, clients: Clients) -> None:
    page = Path(__file__).parents[2] / "docs" / "howto" / "follow-by-server-sent-events.md"
    [command] = re.findall(r"^curl .*$", page.read_text(), re.MULTILINE)
    sid = await clients.rest.create("$ echo one")
    shown = await asyncio.create_subprocess_shell(
        command.replace("localhost:3000", urlsplit(server.url).netloc) + " -s",
        env={**os.environ, "ID": sid, "OHS_SESSION_API_KEY": ""},
        stdout=asyncio.subprocess.PIPE,
    )
    assert shown.stdout is not None
    async with asyncio.timeout(20):
        while b'"turn_ended"' not in await shown.stdout.readline():
            pass
        await clients.rest.ask("POST", f"/api/conversations/{sid}/stop")
        rest = await shown.stdout.read()
        assert await shown.wait() == 0
    assert rest.endswith(b'event: ended\ndata: {"reason":"stopped"}\n\n')
