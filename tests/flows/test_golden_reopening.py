"""Recorded traffic of conversations that are opened again and of clients that are refused, played against our server:
sockets and REST calls in the recorded order. Compared as in `test_golden`, but for what these rules change:

2. the same comes live as in replay: the environment's `change_agent_state`, which the reference keeps back live;
3. a conversation that nobody made is refused, where the reference makes it;
6. a stop from outside tells whoever follows the state before it sends them away;
7. an unknown provider is refused with a message, where the reference hangs up;
8. what is no command is answered, and an answer has a `code`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

import pytest
import yaml

from tests.support.event_summaries import Event, state_of
from tests.support.recorded_traffic import Recording, outline, shape, told
from tests.support.running_server import Server
from tests.support.server_clients import Clients
from tests.support.socket_clients import V0Client
from tests.support.socket_connection import ConnectionRefused

REOPENING = Recording.read("06_reopen_stored")
REOPENED = "612d1dd2129c4fce9b0e87c77a7c3fb9"
REFUSALS = Recording.read("07_refusals_and_errors")
FAILED = "3e134fae11ef408ab091dedb5e4cfcfd"
STARTING = ("STATUS$STARTING_RUNTIME", "STATUS$RUNTIME_STARTED")
FAILURE = {"status": 400, "message": "FAKE-LLM-ERROR-MARK bad request"}
FAILING = {"when": "[[error]]", "steps": [{"say": "Hm.", "delay": 1.0, "fail": FAILURE}]}
"""Slow enough for a client to be there when it fails: a status is told once."""


async def test_a_recorded_conversation_is_opened_again(server: Server, clients: Clients) -> None:
    first, second, third = await _reopened(server, clients)
    *found, stopped = first.events
    assert outline(found) == outline(REOPENING.of("A").events)
    assert state_of(stopped) == "stopped"  # rule 6
    assert outline(second.events) == outline(REOPENING.of("B").events)
    assert outline(third.events) == outline(_told_live(REOPENING.of("C").events))
    assert first.faults + second.faults + third.faults == []


async def test_recorded_refusals_come_again(server: Server, clients: Clients) -> None:
    third = (await _reopened(server, clients))[-1]
    nobody, unknown = clients.v0(""), clients.v0("deadbeef" * 4)
    late, elsewhere = clients.v0(third.sid), clients.v0(third.sid)
    assert shape(await _refusal(nobody)) == shape(REFUSALS.of("noid").lines[-1]["refused"] | {"data": {"code": ""}})
    assert (await _refusal(unknown))["data"]["code"] == "not_found"  # rule 3
    await late.connect(latest_event_id="abc")
    await late.until_state("awaiting_user_input")
    assert outline(late.events) == outline(REFUSALS.of("badlatest").events)
    assert (await _refusal(elsewhere, providers_set="nosuch"))["data"]["code"] == "not_found"  # rule 7


async def test_recorded_errors_come_again(server: Server, clients: Clients) -> None:
    recording = REFUSALS.of("llmerr")
    model = server.script("failing", yaml.safe_dump({"name": "failing", "title": "Fake Title", "replies": [FAILING]}))
    sid = await clients.rest.create(REFUSALS.first_message, llm_model=model)
    calls = _calls(clients, REFUSALS, {FAILED: sid})
    client = clients.v0(sid)
    await client.connect()
    await client.until_state("error")
    await anext(calls)
    for number, command in enumerate(recording.sent, start=1):
        await client.send(dict(command))
        await client.until(partial(_has_errors, client, number))  # rule 8
    assert outline(client.events) == outline(told(recording.events, client.events))
    assert "FAKE-LLM-ERROR-MARK" in client.events[-1]["extras"]["reason"]
    title, failed, about_the_image = [packet for packet in recording.told if packet.get("id", "") not in STARTING]
    if (await clients.rest.describe(sid))["title"] != title["conversation_title"]:  # else it may have come before us
        await client.until(lambda: {**title, "message": sid} in client.statuses)
    assert {**failed, "message": client.events[-1]["extras"]["reason"]} in client.statuses
    assert shape(client.errors[-1]) == shape({**about_the_image, "code": "bad_input"})  # rule 8
    await client.leave()
    async for _ in calls:
        pass


async def _reopened(server: Server, clients: Clients) -> tuple[V0Client, V0Client, V0Client]:
    """The clients of the recording about a conversation that is opened again; the last one is still there."""
    model = server.script("recorded", REOPENING.script())
    said = next(event for event in REOPENING.events if event.get("action") == "message")
    sid = await clients.rest.create(said["args"]["content"], llm_model=model)
    maker, first, second, third = (clients.v0(sid) for _ in range(4))
    await maker.connect()
    await maker.until_state("finished")
    await maker.leave()
    calls, witness = _calls(clients, REOPENING, {REOPENED: sid}), clients.protocol2(sid)
    await first.connect()
    await first.until_state("finished")
    await anext(calls)
    await first.until_gone()
    assert first.dismissed
    for _ in range(2):
        await anext(calls)
    await witness.connect()
    await witness.until_state("awaiting_user_input")
    await anext(calls)
    await second.connect()
    await second.until_state("awaiting_user_input")
    await second.send(dict(REOPENING.sent[0]))
    await second.until_state("finished")
    await second.leave()
    for _ in range(2):
        await anext(calls)
    await third.connect()
    await third.until_state("awaiting_user_input")
    async for _ in calls:
        pass
    return first, second, third


async def _calls(clients: Clients, recording: Recording, ids: Mapping[str, str]) -> AsyncIterator[None]:
    """Makes one recorded REST call after the other, but for those that create, and compares the answers. `ids` are the
    conversations here for those that were recorded."""
    for call in recording.calls:
        if call["path"] == "/api/conversations":
            continue
        path = call["path"]
        for recorded, ours in ids.items():
            path = path.replace(recorded, ours)
        status, answer = await clients.rest.ask(call["method"], path, call["body"])
        assert status == call["status"], (path, answer)
        found, recorded = shape(answer), shape(call["answer"])
        if isinstance(answer, dict) and "status" in call["answer"]:
            assert answer["status"] == call["answer"]["status"], path
        assert found == recorded or (status >= 400 and found.items() >= recorded.items()), path  # rule 8: and more
        yield


async def _refusal(client: V0Client, **asked: str) -> Any:
    with pytest.raises(ConnectionRefused) as refused:
        await client.connect(**asked)
    return refused.value.told


def _has_errors(client: V0Client, count: int) -> bool:
    return len(client.errors) == count


def _told_live(events: Sequence[Event]) -> Sequence[Event]:
    """With the environment's `change_agent_state` before the state that it leads to (rule 2)."""
    *before, waiting = events
    echo = next(event for event in events if event.get("args", {}).get("agent_state") == "awaiting_user_input")
    return [*before, {**echo, "id": waiting["id"] - 1}, waiting]
