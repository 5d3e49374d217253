"""The main job, end to end: talk to an agent in a sandbox, leave, come back, miss nothing."""

from collections.abc import AsyncIterator

import pytest

from tests.support.event_summaries import Event, kind_of, state_of
from tests.support.model_replies import Call, Reply
from tests.support.model_server import MODEL, ModelServer, model_server
from tests.support.proxy import proxy
from tests.support.running_server import Server
from tests.support.server_clients import Clients
from tests.support.v0_event_filter import events_for_v0, explains

BASH = "execute_bash"
JOB = {
    "job": [
        Reply(
            text="I look at the workspace before I change anything in it.",
            calls=[Call(name=BASH, arguments={"command": "echo first; sleep 0.4; echo second"})],
            piece=3,
            delay=0.01,
        ),
        Reply(
            calls=[
                Call(name=BASH, arguments={"command": "echo 1 > number; sleep 0.6; echo $OHS_ACTION_ID"}),
                Call(
                    name="str_replace_editor",
                    arguments={"command": "str_replace", "path": "number", "old_str": "1", "new_str": "2"},
                ),
            ]
        ),
        Reply(calls=[Call(name=BASH, arguments={"command": "cat number"})]),
        Reply(text="", calls=[Call(name="finish", arguments={"message": "The number is 2."})]),
    ]
}


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server(JOB) as served:
        yield served


def loopback(model: ModelServer) -> dict[str, str]:
    """Settings of a conversation with the loopback model."""
    return {"llm_model": f"openai/{MODEL}", "llm_base_url": model.url, "llm_api_key": "sk-loopback"}


async def test_a_conversation_goes_on_while_its_client_is_away_and_the_client_misses_nothing(
    clients: Clients, model: ModelServer
) -> None:
    sid = await clients.rest.create(**loopback(model))
    client, web = clients.protocol2(sid), clients.v0(sid)
    await client.connect()
    await web.connect()
    said = await client.say("please do it [[job]]")
    first = await client.until_event(lambda event: event.get("observation") == "run", within=40)
    told = client.streams
    await client.vanish()
    await web.until_event(lambda event: kind_of(event) == "action:finish")
    await web.until_state("finished")
    await client.connect()
    await client.until_state("finished")

    log = await clients.rest.events(sid)
    assert client.events == log
    assert client.faults == web.faults == []
    assert [event["id"] for event in log] == list(range(len(log)))
    assert log[said]["args"]["content"] == "please do it [[job]]"
    assert first["content"].splitlines() == ["first", "second"]
    replies = [stream.text for (kind, _), stream in told.items() if kind == "reply"]
    assert replies
    assert all("I look at the workspace before I change anything in it.".startswith(text) for text in replies)
    assert [stream.text for (kind, _), stream in told.items() if kind == "output"] == ["first\n"]
    assert explains(log, web.ids, after=-1, heads=range(said))
    assert web.last == client.last
    assert model.complaints == []
    ran, named, edited, shown = _results(model)
    assert (ran, named, shown) == ("first", _action_id(log), "2")
    assert "/workspace/number" in edited


def _results(model: ModelServer) -> list[str]:
    """The first lines of the tools' results that the last request held."""
    results = [message for message in model.requests[-1].messages if message["role"] == "tool"]
    return [str(message["content"]).strip().splitlines()[0] for message in results]


def _action_id(log: list[Event]) -> str:
    [action] = [event for event in log if "OHS_ACTION_ID" in str(event.get("args", {}).get("command"))]
    [observation] = [event for event in log if event.get("cause") == action["id"] and "observation" in event]
    text: str = observation["content"].strip()
    assert text.endswith(f"-{action['id']}")
    return text


async def test_without_a_model_the_shell_agent_runs_what_follows_the_dollar_sign(clients: Clients) -> None:
    sid = await clients.rest.create("hello?")
    client = clients.protocol2(sid)
    await client.connect()
    welcome = await client.until_event(lambda event: event.get("action") == "message" and event["source"] == "agent")
    assert "No model is configured" in welcome["args"]["content"]
    await client.until_state("awaiting_user_input", after=welcome["id"])
    said = await client.say("$ cd /tmp && pwd; echo $((6 * 7))")
    ran = await client.until_event(lambda event: event.get("observation") == "run", after=said)
    assert ran["content"].split() == ["/tmp", "42"]
    assert ran["extras"]["metadata"]["exit_code"] == 0
    await client.until_state("awaiting_user_input", after=said)
    assert client.events == await clients.rest.events(sid)


async def test_the_web_client_can_do_the_whole_job_by_its_own_protocol(clients: Clients) -> None:
    sid = await clients.rest.create()
    web = clients.v0(sid)
    await web.connect()
    await web.until_state("awaiting_user_input")
    await web.say("$ echo from the web")
    ran = await web.until_event(lambda event: event.get("observation") == "run")
    assert ran["content"].strip() == "from the web"
    await web.until_state("awaiting_user_input", after=ran["id"])
    before = web.last
    await web.vanish()
    other = clients.protocol2(sid)
    await other.connect()
    await other.say("$ echo while you were away")
    await other.until_event(lambda event: "while you were away" in str(event.get("content")), after=before)
    await other.until_state("awaiting_user_input", after=before + 1)
    await web.connect()
    await web.until_id(other.last)
    log = await clients.rest.events(sid)
    assert [event for event in web.events if not state_of(event)] == [
        event for event in events_for_v0(log, after=-1, head=-1) if not state_of(event)
    ]
    assert web.faults == []
    assert web.errors == []


async def test_a_message_whose_acknowledgement_was_lost_is_sent_again_and_said_once(
    server: Server, clients: Clients
) -> None:
    sid = await clients.rest.create()
    async with proxy(server.port) as between:
        client = clients.protocol2(sid, between.url)
        await client.connect()
        await client.until_state("awaiting_user_input")
        between.stall()
        # The command gets through; what is answered does not come back.
        command = {"action": "message", "args": {"content": "$ echo once"}, "key": "mine"}
        watcher = clients.protocol2(sid)
        await watcher.connect()
        await client.send(command)
        said = await watcher.until_event(lambda event: event.get("action") == "message")
        between.cut()
        between.flow()
        await client.until_gone()
        await client.connect()
        assert await client.say("$ echo once", key="mine") == said["id"]
        await watcher.until_state("awaiting_user_input", after=said["id"])
        assert await client.say("$ echo once", key="mine") == said["id"]
        refused = await client.command("message", content="$ echo twice", key="mine")
        assert (refused["ok"], refused["code"], refused["field"]) == (False, "bad_input", "key")
        await client.until_id(watcher.last)
    log = await clients.rest.events(sid)
    assert client.events == log
    assert [event["id"] for event in log if event.get("action") == "message" and event["source"] == "user"] == [
        said["id"]
    ]
