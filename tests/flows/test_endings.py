"""How connections, sessions and servers end, and what clients do then."""

import asyncio
from pathlib import Path

import pytest

from tests.support.event_summaries import kind_of, state_of
from tests.support.running_server import FAILING, Server, prepared_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Client
from tests.support.socket_connection import ConnectionCut, ConnectionRefused

GRACE = 20.0
"""The default of server.shutdown_grace."""
SLOWLY = """\
name: slowly
replies:
  - steps:
      - {call: execute_bash, with: {command: "echo $OHS_ACTION_ID >> ran; echo begun; sleep 2; echo over"}}
      - {say: "All done."}
"""


async def test_a_server_that_is_told_to_end_drains_and_its_clients_find_the_next_one(
    server: Server, clients: Clients
) -> None:
    sid = await clients.rest.create(llm_model=server.script("slowly", SLOWLY))
    client, web, operator = clients.protocol2(sid), clients.v0(sid), clients.operator()
    for each in (client, web, operator):
        await each.connect()
    said = await client.say("go")
    await client.until(lambda: any("begun" in stream.text for stream in client.streams.values()))
    async with asyncio.timeout(GRACE):
        assert await server.stopped() == 0
    await client.until_gone()
    await web.until_gone()
    assert client.others[-1] == ("ended", {"reason": "shutdown"})
    assert not client.dismissed
    assert not web.dismissed
    assert operator.changes[-1]["state"] == "Closed"
    with pytest.raises(ConnectionCut):
        await client.connect()

    await server.start()
    for each in (client, web, operator):
        await each.connect()
    await client.until_state("awaiting_user_input", after=said)
    await web.until_id(client.last)
    log = await clients.rest.events(sid)
    assert client.events == log
    assert client.faults == web.faults == []
    [ran] = [event for event in log if event.get("observation") == "run"]
    assert ran["content"].split() == ["begun", "over"]
    assert len((server.workspace(sid) / "ran").read_text().split()) == 1


async def test_a_server_that_ends_slowly_tells_whoever_comes_to_come_again(data_dir: Path) -> None:
    async with prepared_server(data_dir, program=FAILING) as server, Clients(server.url) as clients:
        await server.start("--linger", "1.5")
        sid = await clients.rest.create()
        client, operator = clients.protocol2(sid), clients.operator()
        await operator.connect()
        await client.connect()
        await client.until_state("awaiting_user_input")
        ending = asyncio.create_task(server.stopped())
        await operator.until(lambda: operator.states_of(sid)[-1:] == ["Closing"])
        assert (await clients.rest.ask("GET", "/health/ready"))[0] == 503
        assert (await clients.rest.ask("GET", "/health/live"))[0] == 200
        for query in ("", f"&conversation_id={sid}"):
            asked = f"{server.url}/socket.io/?EIO=4&transport=websocket{query}"
            async with clients.rest.http.get(asked) as answer:
                assert answer.status == 503
                assert (await answer.json())["code"] == "at_capacity"
        refused = await client.command("message", content="one more")
        assert (refused["ok"], refused["code"]) == (False, "at_capacity")
        assert await ending == 0


async def test_a_server_ends_at_once_also_while_sessions_are_being_set_up_and_clients_come(
    server: Server, clients: Clients
) -> None:
    joined: list[Client] = []
    for sid in [await clients.rest.create() for _ in range(8)]:
        joined += [clients.protocol2(sid), clients.v0(sid)]
    await clients.operator().connect()
    await asyncio.gather(*(client.connect() for client in joined))
    async with asyncio.timeout(GRACE / 2):
        assert await server.stopped() == 0
    assert not any(client.dismissed for client in joined)
    assert '"level":"error"' not in server.log
    await server.start()
    for client in joined:
        await client.connect()
        await client.until_state("awaiting_user_input")
        assert client.faults == []


async def test_a_session_that_could_not_be_set_up_is_revived_for_all_who_wait(server: Server, clients: Clients) -> None:
    model = server.script("spoilt", "nonsense")
    sid = await clients.rest.create(llm_model=model)
    client, other, web = clients.protocol2(sid), clients.protocol2(sid), clients.v0(sid)
    for each in (client, other):
        await each.connect()
        assert await each.until_told("ended") == {"reason": "failed"}
    await web.connect()
    refused = await client.command("message", content="go")
    assert (refused["ok"], refused["code"]) == (False, "stage_failed")
    assert refused["message"].startswith("the session could not be set up: ")
    assert str(server.data_dir) not in refused["message"]
    server.script("spoilt", SLOWLY.replace("sleep 2", "true"))
    said = await client.say("go")
    await asyncio.gather(*(each.until_state("awaiting_user_input", after=said) for each in (client, other, web)))
    assert client.events == other.events == await clients.rest.events(sid)
    assert web.last == client.last


async def test_stop_by_rest_shows_the_state_then_dismisses_the_clients(clients: Clients) -> None:
    sid = await clients.rest.create("$ echo begun; sleep 60")
    client, web = clients.protocol2(sid), clients.v0(sid)
    await client.connect()
    await web.connect()
    await client.until_event(lambda event: event.get("action") == "run")
    status, answer = await clients.rest.ask("POST", f"/api/conversations/{sid}/stop")
    assert (status, answer["status"]) == (200, "ok")
    await client.until_gone()
    await web.until_gone()
    assert client.dismissed
    assert web.dismissed
    assert state_of(client.events[-1]) == state_of(web.events[-1]) == "stopped"
    assert client.others[-1] == ("ended", {"reason": "stopped"})
    assert client.events == await clients.rest.events(sid)
    await web.connect()
    await web.until_state("awaiting_user_input", after=client.last)
    await web.say("$ echo again")
    again = await web.until_event(lambda event: event.get("observation") == "run", after=client.last)
    assert again["content"].strip() == "again"


async def test_a_deleted_conversation_dismisses_its_clients_and_cannot_be_found_again(
    server: Server, clients: Clients
) -> None:
    sid = await clients.rest.create("$ echo begun; sleep 60")
    client, web = clients.protocol2(sid), clients.v0(sid)
    await client.connect()
    await web.connect()
    await client.until_event(lambda event: event.get("action") == "run")
    assert await clients.rest.delete(sid) is True
    await client.until_gone()
    await web.until_gone()
    assert client.dismissed
    assert web.dismissed
    assert client.others[-1] == ("ended", {"reason": "deleted"})
    for each in (client, web):
        with pytest.raises(ConnectionRefused) as refusal:
            await each.connect()
        assert refusal.value.told["data"]["code"] == "not_found"
    assert (await clients.rest.ask("GET", f"/api/conversations/{sid}/events"))[0] == 404
    assert not server.workspace(sid).exists()
    with pytest.raises(ConnectionRefused):
        await clients.protocol2(sid).connect(create=True)


async def test_a_client_that_knows_another_log_begins_anew(clients: Clients) -> None:
    sid = await clients.rest.create("$ echo one")
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    log = await clients.rest.events(sid)
    for more in ({"after": 10**6}, {"epoch": "of-another-log"}):
        await client.connect(**more)
        await client.until(lambda: client.last == log[-1]["id"] and len(client.visits[-1].ids) == len(log))
        assert client.others[-1][0] == "resync"
        assert client.events == log
    epoch = next(value["epoch"] for name, value in client.others if name == "hello")
    await client.connect(epoch=epoch)
    await client.until(lambda: client.visits[-1].hello is not None)
    assert client.visits[-1].ids == []
    assert client.others[-1][0] == "hello"
    assert client.faults == []


async def test_a_client_that_vanishes_is_not_counted_any_more(clients: Clients) -> None:
    sid = await clients.rest.create()
    watcher = clients.operator()
    await watcher.connect()
    joined = [clients.protocol2(sid) for _ in range(5)]
    for client in joined:
        await client.connect()
        await client.until_state("awaiting_user_input")
    assert (await clients.rest.describe(sid))["num_connections"] == 5
    for client in joined[:4]:
        await client.vanish()
    said = await joined[4].say("$ echo still here")
    await joined[4].until_event(lambda event: kind_of(event) == "observation:turn_ended", after=said)
    assert (await clients.rest.describe(sid))["num_connections"] == 1
