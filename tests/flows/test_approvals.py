"""A batch of calls, decided over the socket, over REST and by a V0 client, over kills and restarts."""

import asyncio
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.core.events.codec import from_wire
from tests.support.log_invariant import check_log
from tests.support.running_server import Server, prepared_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "approvals.md").read_text()
ASKS = """\
name: asks
replies:
  - steps:
      - calls:
          - {call: think, with: {thought: First.}}
          - {call: execute_bash, with: {command: touch a}}
          - {call: execute_bash, with: {command: touch b}}
          - {call: execute_bash, with: {command: touch c}}
      - say: Done.
  - steps:
      - say: I see.
"""
ASKED, WAITS = "awaiting_user_confirmation", "awaiting_user_input"
TOO_LATE = "ran out"


async def asked(server: Server, clients: Clients, **settings: Any) -> tuple[Protocol2Client, dict[str, Any]]:
    """A client of a conversation with an open batch of three calls, and the batch."""
    model = server.script("asks", ASKS)
    sid = await clients.rest.create("go", llm_model=model, **{"confirmation_mode": True, **settings})
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state(ASKED)
    await client.until_event(lambda event: event.get("observation") == "turn_ended")
    approval: dict[str, Any] = (await clients.rest.describe(sid))["session"]["approval"]
    return client, approval


def made(server: Server, sid: str) -> list[str]:
    return sorted(path.name for path in server.workspace(sid).glob("?"))


async def decide(client: Protocol2Client, approval: dict[str, Any], **args: Any) -> dict[str, Any]:
    return await client.command("decide", batch=approval["batch"], version=approval["version"], **args)


async def ends_well(clients: Clients, sid: str) -> list[dict[str, Any]]:
    events = await clients.rest.events(sid)
    check_log([from_wire(event) for event in events])
    return events


async def test_a_batch_is_decided_in_parts_over_socket_and_rest(server: Server, clients: Clients) -> None:
    client, approval = await asked(server, clients)
    first, second, third = approval["calls"]
    assert [json.loads(call["arguments"])["command"] for call in (first, second, third)] == [
        "touch a",
        "touch b",
        "touch c",
    ]
    one = {"event_id": second["event_id"], "decision": "reject", "feedback": "No b."}
    answer = await decide(client, approval, decisions=[one])
    assert answer["ok"]
    for wrong, code, field in (
        ({"decisions": [one]}, "stale_decision", None),
        ({"rest": "approve"}, "stale_decision", None),
    ):
        refused = await decide(client, approval, **wrong)
        assert (refused["ok"], refused["code"], refused.get("field")) == (False, code, field)
    now = (await clients.rest.describe(client.sid))["session"]["approval"]
    assert (now["batch"], now["version"]) == (approval["batch"], 2)
    assert [call["event_id"] for call in now["calls"]] == [first["event_id"], third["event_id"]]
    assert made(server, client.sid) == []
    unknown = {"event_id": 0, "decision": "approve"}
    refused = await decide(client, now, decisions=[unknown])
    assert (refused["code"], refused["field"]) == ("bad_input", "decisions.0.event_id")
    wrong_kind = {"event_id": first["event_id"], "decision": "approve", "arguments": {"command": 1}}
    refused = await decide(client, now, decisions=[wrong_kind])
    assert (refused["code"], refused["field"]) == ("bad_input", "decisions.0.arguments")
    body = {"action": "decide", "args": {"batch": now["batch"], "version": 2, "rest": "approve"}, "key": "once"}
    path = f"/api/conversations/{client.sid}/events"
    answers = [await clients.rest.ask("POST", path, body) for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0][0] == 200
    status, refused = await clients.rest.ask("POST", path, {**body, "key": "another"})
    assert (status, refused["code"]) == (409, "stale_decision")
    await client.until_state(WAITS, after=answers[0][1]["id"])
    assert made(server, client.sid) == ["a", "c"]
    assert (await clients.rest.describe(client.sid))["session"]["approval"] is None
    await ends_well(clients, client.sid)


async def test_a_v0_client_is_asked_one_after_the_other(server: Server, clients: Clients) -> None:
    client, _ = await asked(server, clients)
    v0 = clients.v0(client.sid)
    await v0.connect()
    for number, (state, last) in enumerate(
        (("user_confirmed", ASKED), ("user_rejected", ASKED), ("user_confirmed", WAITS)), 1
    ):
        await v0.until(lambda number=number: len(questions(v0.events)) == number)  # type: ignore[misc]
        before = v0.last
        await v0.send({"action": "change_agent_state", "args": {"agent_state": state}})
        await v0.until_state(last, after=before)
    assert questions(v0.events) == ["touch a", "touch b", "touch c"]
    assert made(server, client.sid) == ["a", "c"]
    assert "approval_requested" not in {event.get("action") for event in v0.events}
    await ends_well(clients, client.sid)


def questions(events: list[dict[str, Any]]) -> list[str]:
    return [
        event["args"]["command"]
        for event in events
        if event.get("args", {}).get("confirmation_state") == "awaiting_confirmation"
    ]


async def test_a_message_abandons_the_batch(server: Server, clients: Clients) -> None:
    client, approval = await asked(server, clients)
    await decide(client, approval, decisions=[{"event_id": approval["batch"], "decision": "approve"}])
    said = await client.say("not that way")
    await client.until_state(WAITS, after=said)
    assert made(server, client.sid) == []
    await ends_well(clients, client.sid)


@pytest.mark.parametrize("after", ["part", "all"])
async def test_a_killed_server_keeps_what_was_decided(data_dir: Path, after: str) -> None:
    async with prepared_server(data_dir) as server:
        await server.start()
        async with Clients(server.url) as clients:
            client, approval = await asked(server, clients)
            one = {"event_id": approval["calls"][1]["event_id"], "decision": "reject"}
            assert (await decide(client, approval, decisions=[one]))["ok"]
            if after == "all":
                assert (await decide(client, {**approval, "version": 2}, rest="approve"))["ok"]
            sid = client.sid
            await server.killed()
        await server.start()
        async with Clients(server.url) as clients:
            client = clients.protocol2(sid)
            await client.connect()
            await clients.until_ready(sid)
            if after == "part":
                now = (await clients.rest.describe(sid))["session"]["approval"]
                assert (now["version"], len(now["calls"])) == (2, 2)
                assert (await decide(client, now, rest="approve"))["ok"]
            await client.until_event(lambda event: event.get("args", {}).get("content") == "Done.")
            await client.until_state(WAITS)
            assert made(server, sid) == ["a", "c"]
            await ends_well(clients, sid)


async def test_what_fell_due_while_the_server_was_killed_is_rejected_after_the_start(data_dir: Path) -> None:
    async with prepared_server(data_dir) as server:
        await server.start()
        async with Clients(server.url) as clients:
            client, approval = await asked(server, clients, approval_timeout=2)
            yes = {"event_id": approval["batch"], "decision": "approve"}
            assert (await decide(client, approval, decisions=[yes]))["ok"]
            sid = client.sid
            await server.killed()
        deadline = datetime.fromisoformat(approval["deadline"])
        await asyncio.sleep(max(0.0, (deadline - datetime.now(UTC)).total_seconds()))  # the time itself is the subject
        await server.start()
        async with Clients(server.url) as clients:
            client = clients.protocol2(sid)
            await client.connect()
            await client.until_event(lambda event: event.get("args", {}).get("content") == "Done.")
            events = await ends_well(clients, sid)
            [expired] = [event for event in events if event.get("args", {}).get("expired")]
            assert (expired["source"], "author" in expired) == ("environment", False)
            late = [event for event in events if event.get("observation") == "user_rejected"]
            assert [TOO_LATE in event["content"] for event in late] == [True, True]
            assert made(server, sid) == ["a"]


async def test_the_commands_of_the_guide(server: Server, clients: Clients) -> None:
    script = ASKS.replace("          - {call: execute_bash, with: {command: touch c}}\n", "")
    model = server.script("guide", script)
    shells = [
        command
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
        if not language
        for command in re.split(r"^(?=curl)", block, flags=re.MULTILINE)[1:]
    ]
    store, describe, first, second = shells
    assert (await run(server, store, {}))["message"]
    sid = await clients.rest.create("go", llm_model=model)
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_event(lambda event: event.get("observation") == "turn_ended")
    shown = await run(server, describe, {"$ID": sid})
    [one, other] = shown["session"]["approval"]["calls"]
    ids = {"$ID": sid, '"batch": 12': f'"batch": {one["event_id"]}', '"event_id": 12': f'"event_id": {one["event_id"]}'}
    assert [json.loads(call["arguments"]) for call in (one, other)] == [{"command": "touch a"}, {"command": "touch b"}]
    assert (await run(server, first, ids))["success"]
    done = await run(server, second, ids)
    await client.until_state(WAITS, after=done["id"])
    assert made(server, sid) == ["c"]


async def run(server: Server, command: str, names: dict[str, str]) -> Any:
    command = command.replace("localhost:3000", server.url.removeprefix("http://"))
    for name, value in names.items():
        command = command.replace(name, value)
    process = await asyncio.create_subprocess_exec("bash", "-c", command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return json.loads(out)
