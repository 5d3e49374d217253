"""Stop stops: the command and all it started, the model call, the question; and nothing comes after it."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from tests.support.event_summaries import Event, kind_of, state_of
from tests.support.model_replies import Reply
from tests.support.model_server import MODEL, ModelServer, model_server
from tests.support.processes import alive, ended
from tests.support.running_server import Server, processes_of
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client

WITHIN = 1.0
"""Seconds in which whatever is stopped must be gone."""
LOOK_AGAIN = 0.01
SAY_IDLE = "are you there?"


@pytest.fixture
def server(shared_server: Server) -> Server:
    return shared_server


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server({"silent": [Reply(text="one two three " * 200, piece=4, delay=0.2)]}) as served:
        yield served


def pids(server: Server, sid: str, word: str) -> list[int]:
    """Processes of a conversation's commands whose command line has `word` as its first."""
    found = processes_of(server.workspace(sid))
    return [seen.pid for seen in found if seen.command.split(" ")[0].endswith(word)]


async def appear(server: Server, sid: str, word: str, count: int = 1) -> Sequence[int]:
    """Wait for a command's processes: nothing but the system's own list tells of them."""
    async with asyncio.timeout(10):
        while True:
            if len(found := pids(server, sid, word)) >= count:
                return found
            await asyncio.sleep(LOOK_AGAIN)


async def gone(processes: Sequence[int]) -> None:
    async with asyncio.timeout(WITHIN):
        for pid in processes:
            await ended(pid)
    assert not any(alive(pid) for pid in processes)


async def all_that_comes(client: Protocol2Client) -> Sequence[Event]:
    """The events up to a sign of life that is asked for now: whatever was under way has come before it."""
    said = await client.say(SAY_IDLE)
    await client.until_id(said)
    return client.events[: said + 1]


async def test_a_stop_ends_a_sleeping_command_within_a_second(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create()
    client = clients.protocol2(sid)
    await client.connect()
    await client.say("$ echo begun; sleep 100")
    sleeping = await appear(server, sid, "sleep")
    echo = await client.order("stopped")
    await gone(sleeping)
    stopped = await client.until_state("stopped", after=echo, within=WITHIN + 1)
    told = next(event for event in client.events if event.get("observation") == "run")
    assert "begun" in told["content"]
    assert "stopped" in told["content"]
    assert told["extras"]["metadata"]["exit_code"] == -1
    events = await all_that_comes(client)
    behind = [kind_of(event) for event in events if event["id"] > stopped["id"]]
    assert behind == ["action:message"]
    assert not client.faults


async def test_a_stop_ends_pipelines_groups_loops_and_what_ignores_the_interrupt(
    server: Server, clients: Clients
) -> None:
    stubborn = "python3 -c 'import signal,time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(100)'"
    for command, word, count in (
        ("(sleep 101; echo no) | cat", "sleep", 1),
        ("sleep 102 & sleep 103", "sleep", 2),
        (stubborn, "python3", 1),
    ):
        sid = await clients.rest.create()
        client = clients.protocol2(sid)
        await client.connect()
        await client.say(f"$ {command}")
        started = await appear(server, sid, word, count)
        echo = await client.order("stopped")
        await gone(started)
        await client.until_state("stopped", after=echo, within=WITHIN + 1)
        await client.leave()


async def test_after_a_stop_the_next_message_finds_the_same_shell(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create()
    client = clients.protocol2(sid)
    await client.connect()
    await client.say("$ kept=here; sleep 100")
    await appear(server, sid, "sleep")
    first = await client.order("stopped")
    await client.until_state("stopped", after=first)
    second = await client.order("stopped")
    assert second > first
    said = await client.say("$ echo $kept")
    told = await client.until_event(lambda event: event.get("observation") == "run", after=said)
    assert told["content"].strip() == "here"


async def test_a_stop_closes_the_models_stream_within_a_second(clients: Clients, model: ModelServer) -> None:
    sid = await clients.rest.create(
        llm_model=f"openai/{MODEL}", llm_base_url=model.url, llm_api_key="sk-loopback", llm_retries=0
    )
    client = clients.protocol2(sid)
    await client.connect()
    await client.say("go on and on [[silent]]")
    await client.until(lambda: bool(client.streams), within=40)
    echo = await client.order("stopped")
    async with asyncio.timeout(WITHIN):
        await model.requests[-1].ended.wait()
    assert model.requests[-1].closed_by_client
    stopped = await client.until_state("stopped", after=echo, within=WITHIN + 1)
    assert not [event for event in client.events if event["source"] == "agent" and kind_of(event) == "action:message"]
    assert client.last == stopped["id"]


async def test_a_stop_takes_a_question_back(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create(confirmation_mode=True)
    client = clients.protocol2(sid)
    await client.connect()
    await client.say("$ touch made")
    await client.until_state("awaiting_user_confirmation")
    echo = await client.order("stopped")
    await client.until_state("stopped", after=echo)
    answer = await client.command("change_agent_state", agent_state="user_confirmed")
    assert answer["code"] == "not_accepting"
    assert not (server.workspace(sid) / "made").exists()
    assert [state_of(event) for event in client.events if state_of(event)][-1] == "stopped"
