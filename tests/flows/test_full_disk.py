"""A turn that a full disk cuts off goes on by itself when there is room again: once, and nothing runs twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.full_disk import becomes, full_disk
from tests.support.running_server import Server, prepared_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client

PATIENCE = 60.0
SCRIPT = """
name: three commands
replies:
  - steps:
      - {call: execute_bash, with: {command: "echo 1 >> ran.txt; echo begun; while [ ! -e go ]; do sleep 0.05; done"}}
      - {call: execute_bash, with: {command: "echo 2 >> ran.txt"}}
      - {call: execute_bash, with: {command: "echo 3 >> ran.txt"}}
      - say: All three.
"""
"""The first command runs until the test lets it go on."""


async def begun_turn(server: Server, clients: Clients) -> Protocol2Client:
    """A client whose turn is in the middle of its first command."""
    sid = await clients.rest.create(llm_model=server.script("three", SCRIPT))
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    await client.say("go")
    await client.until(lambda: any("begun" in stream.text for stream in client.streams.values()), PATIENCE)
    return client


def let_go(server: Server, client: Protocol2Client) -> None:
    (server.workspace(client.sid) / "go").touch()


async def until_cut_off(client: Protocol2Client) -> None:
    await client.until(lambda: "STATUS$ERROR" in [told.get("id") for told in client.statuses], PATIENCE)


async def until_done(server: Server, client: Protocol2Client) -> None:
    """The turn has come to its end, and everything in it happened once."""
    said = await client.until_event(lambda event: event.get("args", {}).get("content") == "All three.", within=PATIENCE)
    await client.until_state("awaiting_user_input", after=said["id"])
    assert (server.workspace(client.sid) / "ran.txt").read_text() == "1\n2\n3\n"
    runs = [event["id"] for event in client.events if event.get("action") == "run"]
    results = [event["cause"] for event in client.events if event.get("observation") == "run"]
    assert runs == results
    assert len(runs) == 3
    assert len([event for event in client.events if event.get("observation") == "turn_resumed"]) == 1
    assert client.faults == []
    assert client.ids == list(range(client.last + 1))


def lines(server: Server, *texts: str) -> list[Any]:
    return [line["event"] for line in map(json.loads, server.log.splitlines()) if line["event"] in texts]


async def test_a_turn_that_a_full_disk_cuts_off_goes_on_by_itself_once(server: Server, clients: Clients) -> None:
    client = await begun_turn(server, clients)
    with full_disk(server):
        let_go(server, client)
        await until_cut_off(client)
        await becomes(clients.rest, 503)
        assert (await clients.rest.describe(client.sid))["session"]["state"] == "Error"
    await until_done(server, client)
    await becomes(clients.rest, 200)
    told = ("nothing can be stored", "what is written is stored again", "a conversation is recovered")
    assert lines(server, *told) == list(told)


@pytest.mark.parametrize("still_full", [True, False])
async def test_a_server_killed_while_the_disk_is_full_goes_on_with_the_turn_when_it_is_back(
    data_dir: Path, still_full: bool
) -> None:
    async with prepared_server(data_dir) as server, Clients(server.url) as clients:
        await server.start()
        client = await begun_turn(server, clients)
        with full_disk(server):
            let_go(server, client)
            await until_cut_off(client)
            await server.killed()
        await server.launch()
        if still_full:
            with full_disk(server):
                await server.logged("a conversation is recovered", 1)
                await server.logged("nothing can be stored", 2)
        await becomes(clients.rest, 200)
        await client.connect()
        await until_done(server, client)


async def test_a_stop_that_cannot_be_stored_is_told_so_and_the_turn_does_not_go_on_by_itself(
    server: Server, clients: Clients
) -> None:
    client = await begun_turn(server, clients)
    with full_disk(server):
        let_go(server, client)
        await until_cut_off(client)
        status, told = await clients.rest.ask("POST", f"/api/conversations/{client.sid}/stop")
        assert (status, told["code"]) == (503, "storage_unavailable")
        assert "stop it again" in told["message"]
    await becomes(clients.rest, 200)
    other = await clients.rest.create("$ echo one")
    later = clients.protocol2(other)
    await later.connect()
    await later.until_event(lambda event: event.get("observation") == "turn_ended")  # recovery has had its turn by then
    status, _ = await clients.rest.ask("POST", f"/api/conversations/{client.sid}/stop")
    assert status == 200
    assert lines(server, "a conversation is recovered") == []
    assert (server.workspace(client.sid) / "ran.txt").read_text() == "1\n"
