"""What people think of a conversation: events, given over socket and REST, exported with the trajectory."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import CommandLine
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "talk-in-a-terminal.md"
COMMANDS = re.compile(r"^openhands-sessions sessions feedback .*$", re.MULTILINE)
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


@pytest.mark.parametrize("place", ["folder", "server"])
async def test_it_is_given_on_the_command_line(data_dir: Path, place: str) -> None:
    line = CommandLine(data_dir)
    async with running_server(data_dir) as server:
        async with Clients(server.url) as clients:
            client = await talk(clients)
            sid = client.sid
            answer = (await client.until_state("awaiting_user_input"))["id"] - 1
            await client.leave()
        at = ["--server", server.url]
        if place == "folder":
            await server.stopped()
            at = []
        for kind in KINDS[:3]:
            given_so = await line.run("sessions", "feedback", sid[:8], kind, *at)
            assert (given_so.code, given_so.out.partition(" is event ")[0]) == (0, f"{kind} for the conversation")
        words = ("--about", str(answer), "--comment", "it sank", "--json")
        told = json.loads((await line.run("sessions", "feedback", sid, KINDS[3], *words, *at)).out)
        for wrong, about in (
            (["sideways"], "must be one of up, down, outcome_success, outcome_fail"),
            (["up", "--about", "9999"], "about must be an event of the conversation"),
            (["up", "--comment", "x" * 10_001], "comment"),
        ):
            refused = await line.run("sessions", "feedback", sid, *wrong, *at)
            assert (refused.code, refused.out) == (2, ""), refused.err
            assert about in refused.err
        said = [shlex.split(command.replace("$ID", sid))[1:] for command in COMMANDS.findall(PAGE.read_text())]
        assert [(await line.run(*words, *at)).code for words in said] == [0, 0]
        exported = json.loads((await line.run("sessions", "export", sid, *at)).out)
        found = given(exported["trajectory"])
        assert [event["extras"]["feedback"] for event in found] == [*KINDS, "up", "outcome_fail"]
        assert (found[3]["id"], found[3]["extras"]["about"], found[3]["extras"]["comment"]) == (
            told["id"],
            answer,
            "it sank",
        )


async def test_v0_clients_are_not_sent_it(server: Server, clients: Clients) -> None:
    client = await talk(clients)
    await client.until_state("awaiting_user_input")
    await client.command("give_feedback", feedback="up")
    v0 = clients.v0(client.sid)
    await v0.connect()
    await v0.until_state("awaiting_user_input")
    assert given(v0.events) == []
