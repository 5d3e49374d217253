"""What people think of a conversation: events, given over socket and REST, exported with the trajectory."""

from typing import Any

import pytest

from tests.support.running_server import Server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client

KINDS = ["up", "down", "outcome_success", "outcome_fail"]
SLOW = "name: slow\nreplies:\n  - steps:\n      - {call: execute_bash, with: {command: cat}}\n      - say: Done.\n"


async def talk(clients: Clients, message: str = "echo hello", **settings: Any) -> Protocol2Client:
    client = clients.protocol2(await clients.rest.create(message, **settings))
    await client.connect()
    return client


def given(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event.get("observation") == "feedback_given"]


async def test_each_kind_is_an_event_with_its_author_in_the_trajectory(server: Server, clients: Clients) -> None:
    client = await talk(clients)
    answer = await client.until_state("awaiting_user_input")
    path = f"/api/conversations/{client.sid}"
    for kind in KINDS[:2]:
        done = await client.command("give_feedback", feedback=kind, about=answer["id"] - 1, key=f"once {kind}")
        again = await client.command("give_feedback", feedback=kind, about=answer["id"] - 1, key=f"once {kind}")
        assert done["id"] == again["id"]
    for kind in KINDS[2:]:
        body = {"action": "give_feedback", "args": {"feedback": kind, "comment": f"because of {kind}"}}
        status, told = await clients.rest.ask("POST", f"{path}/events", body)
        assert (status, told["success"]) == (200, True)
    _, trajectory = await clients.rest.ask("GET", f"{path}/trajectory")
    for events in (given(trajectory["trajectory"]), given(await clients.rest.events(client.sid))):
        assert [event["extras"]["feedback"] for event in events] == KINDS
        assert [event["source"] for event in events] == ["user"] * 4
        assert events[0]["extras"]["about"] == answer["id"] - 1
        assert events[3]["extras"]["comment"] == "because of outcome_fail"
        assert all(event["author"] for event in events)
    assert (await clients.rest.describe(client.sid))["session"]["agent_state"] == "awaiting_user_input"


async def test_it_may_be_given_during_a_turn_and_changes_nothing_of_it(server: Server, clients: Clients) -> None:
    client = await talk(clients, "go", llm_model=server.script("slow", SLOW))
    await client.until_event(lambda event: event.get("action") == "run")
    await client.command("give_feedback", feedback="down")
    await client.until_event(lambda event: event.get("observation") == "feedback_given")
    assert (await clients.rest.describe(client.sid))["session"]["agent_state"] == "running"
    await client.order("stopped")


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({}, "feedback"),
        ({"feedback": "sideways"}, "feedback"),
        ({"feedback": "up", "about": 10_000}, "about"),
        ({"feedback": "up", "about": -1}, "about"),
        ({"feedback": "up", "comment": "x" * 10_001}, "comment"),
    ],
)
async def test_what_is_no_feedback_is_refused_and_not_stored(
    server: Server, clients: Clients, args: dict[str, Any], field: str
) -> None:
    client = await talk(clients)
    await client.until_state("awaiting_user_input")
    body = {"action": "give_feedback", "args": args}
    status, told = await clients.rest.ask("POST", f"/api/conversations/{client.sid}/events", body)
    assert 400 <= status < 500
    assert field in str(told)
    assert given(await clients.rest.events(client.sid)) == []


async def test_v0_clients_are_not_sent_it(server: Server, clients: Clients) -> None:
    client = await talk(clients)
    await client.until_state("awaiting_user_input")
    await client.command("give_feedback", feedback="up")
    v0 = clients.v0(client.sid)
    await v0.connect()
    await v0.until_state("awaiting_user_input")
    assert given(v0.events) == []
