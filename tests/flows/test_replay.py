"""Exported trajectories are done again as they are: the same commands, the same results, and then the model goes on."""

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from tests.support.event_summaries import Event
from tests.support.recorded_traffic import Recording, outline
from tests.support.running_server import Server, prepared_server, running_server
from tests.support.seeds import printed_seed
from tests.support.server_clients import Clients
from tests.support.socket_clients import Client, Protocol2Client

LIVE = 'name: live\nreplies:\n  - when: and now\n    steps: [{say: "Live again."}]\n'
DONE = ("run", "edit", "read", "think", "task_tracking", "finish", "message")
RAN = "echo $OHS_ACTION_ID >> ran; sleep 0.3"


def done(events: Sequence[Event]) -> list[Any]:
    """What was done and what came of it, without where it stood."""
    kept = [event for event in events if (event.get("action") or event.get("observation")) in DONE]
    lines = outline(kept)
    return [{key: line[key] for key in ("kind", "source", "fields", "said", "success", "exit_code")} for line in lines]


def printed(events: Sequence[Event]) -> list[str]:
    """What commands and files held; times in a listing of a folder differ."""
    return [
        event["content"].splitlines()[-1]
        for event in events
        if event.get("observation") in ("run", "read") and event["content"]
    ]


def runs(command: str, event: Event) -> bool:
    return event.get("action") == "run" and event["args"]["command"] == command


async def replay(clients: Clients, trajectory: object, **settings: Any) -> Protocol2Client:
    """Whoever follows a conversation that begins with a trajectory."""
    body = {"replay_json": json.dumps(trajectory), "settings": settings}
    status, answer = await clients.rest.ask("POST", "/api/conversations", body)
    assert status == 200, answer
    client = clients.protocol2(answer["conversation_id"])
    await client.connect()
    return client


@pytest.mark.parametrize("name", ["01_new_message_commands_finish", "02_initial_user_msg_edit_tools"])
async def test_a_recording_and_our_export_of_it_do_the_same_again(server: Server, clients: Clients, name: str) -> None:
    recording = Recording.read(name)
    live = server.script("live", LIVE)
    first = await replay(clients, recording.events, llm_model=live)
    await first.until_state("finished")
    exported = (await clients.rest.ask("GET", f"/api/conversations/{first.sid}/trajectory"))[1]
    second = await replay(clients, exported, llm_model=live)
    await second.until_state("finished")
    third = await replay(clients, exported["trajectory"], llm_model=live)
    await third.until_state("finished")
    assert done(first.events) == done(recording.events)
    assert done(second.events) == done(third.events) == done(first.events)
    assert printed(second.events) == printed(third.events) == printed(first.events)
    assert not [event for event in first.events + second.events + third.events if event.get("observation") == "error"]
    said = await second.say("and now?")
    await second.until_state("awaiting_user_input", after=said)
    messages = [event["args"]["content"] for event in second.events if event.get("action") == "message"]
    assert messages[-1] == "Live again."


async def test_what_went_otherwise_is_told_and_it_goes_on(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create("$ mkdir made && ls made", agent="shell")
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    said = await client.say("$ test -e made")
    await client.until_state("awaiting_user_input", after=said)
    _, exported = await clients.rest.ask("GET", f"/api/conversations/{sid}/trajectory")
    text = json.dumps(exported).replace("mkdir made && ls made", "true")
    body = {"replay_json": text, "settings": {"agent": "shell"}}
    _, answer = await clients.rest.ask("POST", "/api/conversations", body)
    web = clients.v0(answer["conversation_id"])
    await web.connect()
    await web.until_state("awaiting_user_input")
    [told] = [event for event in web.events if event.get("observation") == "error"]
    assert told["extras"]["error_id"] == "REPLAY$DIFFERS"
    assert "step 4 of 5 (Running command: test -e made): recorded was exit code 0, now it is 1" in told["content"]
    await web.say("$ echo alive")
    await web.until_event(lambda event: event.get("observation") == "run" and event["content"].startswith("alive"))


BAD: list[tuple[object, str]] = [
    ("", "replay_json"),
    ("[{", "replay_json"),
    ("{}", "replay_json"),
    ("[]", "replay_json"),
    ('[{"action": "run", "source": "agent", "args": {"command": "ls"}}]', "replay_json"),
    ('[{"action": "message", "source": "user", "args": {"content": 7}}]', "replay_json"),
    ([], "replay_json"),
    (7, "replay_json"),
]


async def test_what_is_no_trajectory_is_refused_and_nothing_is_kept(server: Server, clients: Clients) -> None:
    good = json.dumps([{"action": "message", "source": "user", "args": {"content": "hi"}}])
    more: list[dict[str, Any]] = [
        {"initial_user_msg": "hi"},
        {"image_urls": ["data:image/png;base64,iVBORw0KGgo="]},
        {"suggested_task": {"task_type": "OPEN_ISSUE", "repo": "a/b", "issue_number": 1}},
    ]
    asked = [({"replay_json": text}, field) for text, field in BAD]
    asked += [({"replay_json": good, **other}, next(iter(other))) for other in more]
    for body, field in asked:
        status, answer = await clients.rest.ask("POST", "/api/conversations", body)
        assert (status, answer.get("code"), answer.get("field")) == (422, "bad_input", field), (body, answer)
    assert (await clients.rest.ask("GET", "/api/conversations"))[1]["results"] == []
    assert not [*server.data_dir.rglob("opening-*")]


async def test_a_long_trajectory_is_taken_up_to_the_limit(data_dir: Path) -> None:
    events: list[Event] = [{"action": "message", "source": "user", "args": {"content": "hi"}}]
    events += [{"observation": "run", "content": 'é"\n' * 100_000, "extras": {}} for _ in range(13)]
    text = json.dumps(events, ensure_ascii=False)
    limit = len(text.encode())
    async with (
        running_server(data_dir, {"OHS_LIMITS__TRAJECTORY_BYTES": str(limit)}) as server,
        Clients(server.url) as clients,
    ):
        assert limit > 5_000_000
        assert (await post(clients, {"replay_json": text, "settings": {"agent": "shell"}}))[0] == 200
        for longer in (f"{text} ", f"{text}{' ' * 500_000}"):
            status, answer = await post(clients, {"replay_json": longer})
            assert (status, answer["code"]) == (413, "too_large")


async def test_nothing_but_a_trajectory_may_be_longer_than_a_message(data_dir: Path) -> None:
    """Else it would be read with the conversation's row, by every list."""
    long = "data:image/png;base64,iVBORw0KGgoA" + "A" * 200_000
    async with (
        running_server(data_dir, {"OHS_LIMITS__MESSAGE_BYTES": "100000"}) as server,
        Clients(server.url) as clients,
    ):
        good = json.dumps([{"action": "message", "source": "user", "args": {"content": "hi"}}])
        for body in ({"image_urls": [long]}, {"replay_json": good, "settings": {"llm_model": long}}):
            status, answer = await post(clients, body)
            assert (status, answer["code"]) == (413, "too_large")
        deep = '{"settings": {"mcp_config": ' + '{"a": ' * 500 + f'"{long}"' + "}" * 502
        async with clients.rest.http.post(
            f"{clients.rest.url}/api/conversations", data=BytesIO(deep.encode())
        ) as answer:
            assert answer.status == 422
        assert (await clients.rest.ask("GET", "/api/conversations"))[1]["results"] == []


async def post(clients: Clients, body: object) -> tuple[int, Any]:
    """Make a conversation with a body that is too long to be sent at once."""
    sent = BytesIO(orjson.dumps(body))
    asked = clients.rest.http.post(f"{clients.rest.url}/api/conversations", data=sent)
    async with asked as answer:
        return answer.status, await answer.json()


def recorded(commands: Sequence[str]) -> list[Event]:
    """What a conversation that ran these commands exports."""
    trajectory: list[Event] = [{"id": 0, "action": "message", "source": "user", "args": {"content": "go"}}]
    for number, command in enumerate(commands):
        action = {"id": 2 * number + 1, "action": "run", "source": "agent", "args": {"command": command}}
        ended = {"metadata": {"exit_code": 0}}
        trajectory += [action, {"observation": "run", "cause": action["id"], "content": "", "extras": ended}]
    return trajectory


async def check(server: Server, client: Client, commands: Sequence[str]) -> None:
    """Each command is in the log and in the workspace once, in order, and nothing went otherwise."""
    assert [event["args"]["command"] for event in client.events if event.get("action") == "run"] == commands
    actions = [event["id"] for event in client.events if event.get("action") == "run"]
    ran = (server.workspace(client.sid) / "ran").read_text().split()
    assert [int(key.rpartition("-")[2]) for key in ran] == actions
    assert not [event for event in client.events if event.get("observation") == "error"]
    assert client.faults == []


async def test_a_killed_server_goes_on_where_the_replay_was(data_dir: Path) -> None:
    commands = [f"{RAN} # {number}" for number in range(5)]
    async with prepared_server(data_dir) as server, Clients(server.url) as clients:
        await server.start()
        client = await replay(clients, recorded(commands), agent="shell")
        for number, command in enumerate(commands):
            await client.until_event(partial(runs, command))
            if number in (1, 3):
                await server.killed()
                await server.start()
                await client.connect()
        await client.until_state("awaiting_user_input")
        await check(server, client, commands)
        [kept] = server.data_dir.rglob("opening-*")
        assert kept.stat().st_mode & 0o777 == 0o600
        await clients.rest.delete(client.sid)
        assert not kept.exists()


@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("part", range(8))
async def test_a_server_may_be_killed_at_any_moment_of_a_replay(data_dir: Path, part: int) -> None:
    rng = Random(printed_seed())
    commands = [f"{RAN} # {number}" for number in range(8)]
    async with prepared_server(data_dir) as server, Clients(server.url) as clients:
        await server.start()
        client = await replay(clients, recorded(commands), agent="shell")
        for _ in range(3):
            await asyncio.sleep(rng.uniform(0, 1))
            await server.killed()
            await server.start()
            await client.connect()
        await client.until_state("awaiting_user_input")
        await check(server, client, commands)
