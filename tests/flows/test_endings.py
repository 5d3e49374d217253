"""How connections, sessions and servers end, and what clients do then."""

import asyncio
from pathlib import Path

import pytest

from tests.support.clients import Client
from tests.support.guests import Guests
from tests.support.running import FAILING, Server, served
from tests.support.seen import kind_of, state_of
from tests.support.wire import Cut, Refused

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
    server: Server, guests: Guests
) -> None:
    sid = await guests.rest.create(llm_model=server.script("slowly", SLOWLY))
    client, web, operator = guests.protocol2(sid), guests.v0(sid), guests.operator()
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
    with pytest.raises(Cut):
        await client.connect()

    await server.start()
    for each in (client, web, operator):
        await each.connect()
    await client.until_state("awaiting_user_input", after=said)
    await web.until_id(client.last)
    log = await guests.rest.events(sid)
    assert client.events == log
    assert client.faults == web.faults == []
    [ran] = [event for event in log if event.get("observation") == "run"]
    assert ran["content"].split() == ["begun", "over"]
    assert len((server.workspace(sid) / "ran").read_text().split()) == 1


async def test_a_server_that_ends_slowly_tells_whoever_comes_to_come_again(data_dir: Path) -> None:
    async with served(data_dir, program=FAILING) as server, Guests(server.url) as guests:
        await server.start("--linger", "1.5")
        sid = await guests.rest.create()
        client, operator = guests.protocol2(sid), guests.operator()
        await operator.connect()
        await client.connect()
        await client.until_state("awaiting_user_input")
        ending = asyncio.create_task(server.stopped())
        await operator.until(lambda: operator.states_of(sid)[-1:] == ["Closing"])
        assert (await guests.rest.ask("GET", "/health/ready"))[0] == 503
        assert (await guests.rest.ask("GET", "/health/live"))[0] == 200
        for query in ("", f"&conversation_id={sid}"):
            asked = f"{server.url}/socket.io/?EIO=4&transport=websocket{query}"
            async with guests.rest.http.get(asked) as answer:
                assert answer.status == 503
                assert (await answer.json())["code"] == "at_capacity"
        refused = await client.command("message", content="one more")
        assert (refused["ok"], refused["code"]) == (False, "at_capacity")
        assert await ending == 0


async def test_a_server_ends_at_once_also_while_sessions_are_being_set_up_and_clients_come(
    server: Server, guests: Guests
) -> None:
    clients: list[Client] = []
    for sid in [await guests.rest.create() for _ in range(8)]:
        clients += [guests.protocol2(sid), guests.v0(sid)]
    await guests.operator().connect()
    await asyncio.gather(*(client.connect() for client in clients))
    async with asyncio.timeout(GRACE / 2):
        assert await server.stopped() == 0
    assert not any(client.dismissed for client in clients)
    assert '"level":"error"' not in server.log
    await server.start()
    for client in clients:
        await client.connect()
        await client.until_state("awaiting_user_input")
        assert client.faults == []


async def test_a_session_that_could_not_be_set_up_is_revived_for_all_who_wait(server: Server, guests: Guests) -> None:
    model = server.script("spoilt", "nonsense")
    sid = await guests.rest.create(llm_model=model)
    client, other, web = guests.protocol2(sid), guests.protocol2(sid), guests.v0(sid)
    for each in (client, other):
        await each.connect()
        assert await each.until_told("ended") == {"reason": "failed"}
    await web.connect()
    refused = await client.command("message", content="go")
    assert (refused["ok"], refused["code"]) == (False, "stage_failed")
    assert refused["message"].startswith("AgentSetup failed:")
    assert str(server.data_dir) not in refused["message"]
    server.script("spoilt", SLOWLY.replace("sleep 2", "true"))
    said = await client.say("go")
    await asyncio.gather(*(each.until_state("awaiting_user_input", after=said) for each in (client, other, web)))
    assert client.events == other.events == await guests.rest.events(sid)
    assert web.last == client.last


async def test_stop_by_rest_shows_the_state_then_dismisses_the_clients(guests: Guests) -> None:
    sid = await guests.rest.create("$ echo begun; sleep 60")
    client, web = guests.protocol2(sid), guests.v0(sid)
    await client.connect()
    await web.connect()
    await client.until_event(lambda event: event.get("action") == "run")
    status, answer = await guests.rest.ask("POST", f"/api/conversations/{sid}/stop")
    assert (status, answer["status"]) == (200, "ok")
    await client.until_gone()
    await web.until_gone()
    assert client.dismissed
    assert web.dismissed
    assert state_of(client.events[-1]) == state_of(web.events[-1]) == "stopped"
    assert client.others[-1] == ("ended", {"reason": "stopped"})
    assert client.events == await guests.rest.events(sid)
    await web.connect()
    await web.until_state("awaiting_user_input", after=client.last)
    await web.say("$ echo again")
    again = await web.until_event(lambda event: event.get("observation") == "run", after=client.last)
    assert again["content"].strip() == "again"


async def test_a_deleted_conversation_dismisses_its_clients_and_cannot_be_found_again(
    server: Server, guests: Guests
) -> None:
    sid = await guests.rest.create("$ echo begun; sleep 60")
    client, web = guests.protocol2(sid), guests.v0(sid)
    await client.connect()
    await web.connect()
    await client.until_event(lambda event: event.get("action") == "run")
    assert await guests.rest.delete(sid) is True
    await client.until_gone()
    await web.until_gone()
    assert client.dismissed
    assert web.dismissed
    assert client.others[-1] == ("ended", {"reason": "deleted"})
    for each in (client, web):
        with pytest.raises(Refused) as refusal:
            await each.connect()
        assert refusal.value.told["data"]["code"] == "not_found"
    assert (await guests.rest.ask("GET", f"/api/conversations/{sid}/events"))[0] == 404
    assert not server.workspace(sid).exists()
    with pytest.raises(Refused):
        await guests.protocol2(sid).connect(create=True)


async def test_a_client_that_knows_another_log_begins_anew(guests: Guests) -> None:
    sid = await guests.rest.create("$ echo one")
    client = guests.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    log = await guests.rest.events(sid)
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


async def test_a_client_that_vanishes_is_not_counted_any_more(guests: Guests) -> None:
    sid = await guests.rest.create()
    watcher = guests.operator()
    await watcher.connect()
    clients = [guests.protocol2(sid) for _ in range(5)]
    for client in clients:
        await client.connect()
        await client.until_state("awaiting_user_input")
    assert (await guests.rest.describe(sid))["num_connections"] == 5
    for client in clients[:4]:
        await client.vanish()
    said = await clients[4].say("$ echo still here")
    await clients[4].until_event(lambda event: kind_of(event) == "observation:turn_ended", after=said)
    assert (await guests.rest.describe(sid))["num_connections"] == 1
