"""The history of a conversation over every transport: moved once, seen by all, and kept by servers that are killed."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.protocol.socket_messages import RELOAD
from tests.support.crash_scenario import DEAD
from tests.support.running_server import FAILING, Server, running_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import V0Client, accepted

WAITING = "awaiting_user_input"
SCRIPT = """\
name: turns
replies:
  - when: wait
    steps:
      - {call: execute_bash, with: {command: "sleep 100"}}
  - steps:
      - {say: "Done."}
"""


@pytest.fixture
async def sid(server: Server, clients: Clients) -> str:
    """A conversation of three turns."""
    return await conversation(server, clients)


async def conversation(server: Server, clients: Clients) -> str:
    sid = await clients.rest.create("one", llm_model=server.script("turns", SCRIPT))
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state(WAITING, after=3)
    for text in ("two", "three"):
        await client.until_state(WAITING, after=await client.say(text))
    await client.leave()
    return sid


async def turns(clients: Clients, sid: str, **query: Any) -> list[tuple[int, str]]:
    status, found = await clients.rest.ask("GET", f"/api/conversations/{sid}/history", **query)
    assert status == 200, found
    return [(turn["message"], turn["text"]) for turn in found["turns"]]


async def move(clients: Clients, sid: str, action: str, key: str | None = None, **args: Any) -> tuple[int, Any]:
    body = {"action": action, "args": args} | ({} if key is None else {"key": key})
    return await clients.rest.ask("POST", f"/api/conversations/{sid}/history", body)


def said(events: Sequence[dict[str, Any]]) -> list[str]:
    """The user's words."""
    spoken = [event for event in events if event.get("action") == "message" and event["source"] == "user"]
    return [event["args"]["content"] for event in spoken]


def answered(client: V0Client) -> bool:
    """Whether the newest that the client was sent is that the agent waits."""
    newest = client.events[-1] if client.events else {}
    return newest.get("observation") == "agent_state_changed" and newest["extras"]["agent_state"] == WAITING


async def test_a_history_is_read_and_moved_over_rest(clients: Clients, sid: str) -> None:
    before = await turns(clients, sid)
    assert [text for _, text in before] == ["one", "two", "three"]
    assert await turns(clients, sid, limit=1) == before[2:]
    assert await turns(clients, sid, before=before[2][0]) == before[:2]
    status, undone = await move(clients, sid, "undo", key="k", branch="old")
    assert (status, undone["text"], undone["message"], undone["left_branch"]) == (200, "three", before[2][0], "old")
    assert await move(clients, sid, "undo", key="k", branch="old") == (status, undone)
    assert await turns(clients, sid) == before[:2]
    status, edited = await move(clients, sid, "edit", message=before[0][0], content="uno")
    assert status == 200
    await wait_for_rest(clients, sid, edited["id"])
    assert [text for _, text in await turns(clients, sid)] == ["uno"]
    status, _ = await move(clients, sid, "regenerate")
    assert status == 200
    status, labelled = await move(clients, sid, "checkpoint", name="here", description="as it was")
    assert "here" in labelled["told"]
    status, found = await clients.rest.ask("GET", f"/api/conversations/{sid}/history")
    assert [one["name"] for one in found["checkpoints"]] == ["here"]
    assert {one["name"] for one in found["branches"]} >= {"old"}
    described = await clients.rest.describe(sid)
    assert described["session"]["chain"][0][0] == 0
    assert len(described["session"]["chain"]) == 2
    assert described["session"]["dialogue_branch"] == "main"


async def wait_for_rest(clients: Clients, sid: str, after: int) -> None:
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state(WAITING, after=after + 1)
    await client.leave()


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"action": "move", "args": {"message": 10_000}}, 422, "message"),
        ({"action": "move", "args": {"message": "2"}}, 422, "args.message"),
        ({"action": "move", "args": {}}, 422, "message"),
        ({"action": "switch", "args": {"branch": "nowhere"}}, 422, "branch"),
        ({"action": "switch", "args": {}}, 422, "args.branch"),
        ({"action": "delete_branch", "args": {"branch": "nowhere"}}, 422, "branch"),
        ({"action": "delete_branch", "args": {"branch": "main"}}, 422, "branch"),
        ({"action": "edit", "args": {"message": 1}}, 422, "args.content"),
        ({"action": "undo", "args": {"branch": " "}}, 422, "args.branch"),
        ({"action": "message", "args": {"content": "x"}}, 422, "action"),
        ({}, 422, "action"),
    ],
)
async def test_a_wrong_move_is_refused_by_its_field(
    shared_server: Server, body: dict[str, Any], status: int, field: str
) -> None:
    async with Clients(shared_server.url) as clients:
        sid = await clients.rest.create()
        answer = await clients.rest.ask("POST", f"/api/conversations/{sid}/history", body)
        assert (answer[0], answer[1]["field"]) == (status, field)
        assert (await clients.rest.ask("POST", "/api/conversations/unknown/history", body))[0] == 404


async def test_a_move_while_a_turn_runs_is_a_conflict(clients: Clients, sid: str) -> None:
    client = clients.protocol2(sid)
    await client.connect()
    running = await client.say("wait")
    await client.until_event(lambda event: event.get("action") == "run", after=running)
    status, answer = await move(clients, sid, "undo")
    assert (status, answer["code"]) == (409, "not_accepting")
    assert "stop it first" in answer["message"]
    refused = await client.command("undo")
    assert (refused["ok"], refused["code"]) == (False, "not_accepting")
    await client.until_state("stopped", after=await client.order("stopped"))
    accepted(await client.command("undo", key="once"))
    assert [text for _, text in await turns(clients, sid)] == ["one", "two", "three"]


async def test_a_client_of_protocol_2_follows_the_log_and_is_told_the_chain(clients: Clients, sid: str) -> None:
    client = clients.protocol2(sid)
    await client.connect()
    hello = await client.until_told("hello")
    assert (hello["chain"], hello["branch"]) == ([[0, hello["head"]]], "main")
    moved = accepted(await client.command("undo"))
    event = await client.until_event(lambda event: event.get("observation") == "history_moved")
    assert event["id"] == moved
    other = clients.protocol2(sid)
    await other.connect()
    hello = await other.until_told("hello")
    assert hello["chain"] == [[0, event["extras"]["to"]], [moved, hello["head"]]]
    await other.until_id(hello["head"])
    assert said(other.events) == ["one", "two", "three"]
    assert not client.faults + other.faults


async def test_a_v0_client_is_told_to_reload_and_then_sees_the_chain_alone(clients: Clients, sid: str) -> None:
    open_page, fresh = clients.v0(sid), clients.v0(sid)
    await open_page.connect()
    await open_page.until(lambda: said(open_page.events)[-1:] == ["three"] and answered(open_page))
    await move(clients, sid, "undo")
    await reloads(open_page)
    await fresh.connect()
    await fresh.until(lambda: answered(fresh))
    assert said(fresh.events) == ["one", "two"]
    assert "history_moved" not in [event.get("observation") for event in fresh.events]
    await fresh.say("four")
    await fresh.until(lambda: said(fresh.events)[-1:] == ["four"] and answered(fresh))
    await open_page.until(lambda: said(open_page.events)[-1:] == ["four"])
    gone = clients.v0(sid)
    three = next(event["id"] for event in open_page.events if said([event]) == ["three"])
    await gone.connect(latest_event_id=three)
    await reloads(gone)


async def reloads(client: V0Client) -> None:
    await client.until(lambda: any(status["message"] == RELOAD for status in client.statuses))


async def test_after_a_restart_the_chain_is_known_before_the_session_is(data_dir: Path) -> None:
    async with running_server(data_dir) as server:
        async with Clients(server.url) as clients:
            sid = await conversation(server, clients)
            await move(clients, sid, "undo")
        await server.killed()
        await server.start()
        async with Clients(server.url) as clients:
            chain = (await clients.rest.describe(sid))["session"]["chain"]
            assert len(chain) == 2
            assert [text for _, text in await turns(clients, sid)] == ["one", "two"]
            client = clients.v0(sid)
            await client.connect()
            await client.until(lambda: answered(client))
            assert said(client.events) == ["one", "two"]


@pytest.mark.parametrize("boundary", ["append:0:before", "append:0:after", "append:1:before", "append:1:after"])
async def test_a_server_that_is_killed_in_a_move_has_made_it_once(data_dir: Path, boundary: str) -> None:
    async with running_server(data_dir, program=FAILING) as server:
        async with Clients(server.url) as clients:
            sid = await conversation(server, clients)
            first = (await turns(clients, sid))[0][0]
        await server.killed()
        await server.start("--kill", boundary)
        async with Clients(server.url) as clients:
            with suppress(*DEAD):
                _, edited = await move(clients, sid, "edit", key="once", message=first, content="uno")
                await wait_for_rest(clients, sid, edited["id"])
        assert await server.ended() == -9
        await server.start()
        async with Clients(server.url) as clients:
            status, edited = await move(clients, sid, "edit", key="once", message=first, content="uno")
            assert (status, edited["action"]) == (200, "edit")
            await wait_for_rest(clients, sid, edited["id"])
            log = await clients.rest.events(sid)
            assert [event["id"] for event in log] == list(range(len(log)))
            assert [event.get("observation") for event in log].count("history_moved") == 1
            client = clients.v0(sid)
            await client.connect()
            await client.until(lambda: said(client.events) == ["uno"] and answered(client))
