"""The model of a conversation is switched over REST, the socket and after a restart; the commands of the how-to."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.model_replies import Reply
from tests.support.model_server import ModelServer, model_server
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import accepted

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "switch-models.md").read_text()
[CURLED] = re.findall(r"^```\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
SCRIPT = "name: other\nreplies: [{steps: [{say: This is other.}]}]\n"
FIRST, OTHER = "openai/first", "openai/other"


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server() as ready:
        yield ready


@pytest.fixture
async def server(data_dir: Path, model: ModelServer) -> AsyncIterator[Server]:
    settings = {"OHS_LLM__MODEL": FIRST, "OHS_LLM__BASE_URL": model.url, "OHS_LLM__API_KEY": "key"}
    async with running_server(data_dir, settings) as ready:
        yield ready


@pytest.fixture
async def clients(server: Server) -> AsyncIterator[Clients]:
    async with Clients(server.url) as ready:
        yield ready


def asked(model: ModelServer) -> list[str]:
    """The names of the models that were asked to go on with a dialogue."""
    return [one.body["model"] for one in model.requests if one not in model.titles]


async def test_the_next_turn_asks_the_other_model_also_after_a_restart(
    server: Server, clients: Clients, model: ModelServer
) -> None:
    sid, untouched = await clients.rest.create(), await clients.rest.create()
    client, v0 = clients.protocol2(sid), clients.v0(sid)
    await client.connect()
    await v0.connect()
    said = await client.say("hello")
    await client.until_state("awaiting_user_input", after=said)
    status, answer = await clients.rest.ask("PUT", f"/api/conversations/{sid}/model", {"model": OTHER, "key": "k"})
    assert (status, answer["model"]) == (200, OTHER)
    assert (await clients.rest.ask("PUT", f"/api/conversations/{sid}/model", {"model": OTHER, "key": "k"}))[1] == answer
    said = await client.say("and now?")
    await client.until_state("awaiting_user_input", after=said)
    await v0.until_state("awaiting_user_input", after=said)
    assert asked(model) == ["first", "other"]
    [changed] = [event for event in client.events if event.get("action") == "model_changed"]
    assert (changed["id"], changed["args"]) == (answer["id"], {"model": OTHER, "former": FIRST})
    assert not any(event.get("action") == "model_changed" for event in v0.events)
    assert (await clients.rest.describe(sid))["session"]["model"] == OTHER
    assert (await clients.rest.describe(untouched))["session"]["model"] == FIRST
    _, settings = await clients.rest.ask("GET", "/api/settings")
    assert settings["llm_model"] == FIRST

    await server.stopped()
    await server.start()
    again = clients.protocol2(sid)
    await again.connect()
    said = await again.say("still there?")
    await again.until_state("awaiting_user_input", after=said)
    assert asked(model)[2:] == ["other"]
    assert (await clients.rest.describe(sid))["session"]["model"] == OTHER


async def test_during_a_turn_it_is_refused_and_afterwards_it_is_not(clients: Clients, model: ModelServer) -> None:
    gate = asyncio.Event()
    model.play([Reply(text="One moment.", gate=gate), Reply(text="Two.")])
    client = clients.protocol2(await clients.rest.create())
    await client.connect()
    said = await client.say("hello")
    await model.asked(1)
    path = f"/api/conversations/{client.sid}/model"
    refused = await client.command("set_model", model=OTHER)
    assert (refused["code"], "stop it first" in refused["message"]) == ("not_accepting", True)
    status, answer = await clients.rest.ask("PUT", path, {"model": OTHER})
    assert (status, answer["code"]) == (409, "not_accepting")
    gate.set()
    await client.until_state("awaiting_user_input", after=said)
    number = accepted(await client.command("set_model", model=OTHER))
    await client.until_id(number)
    said = await client.say("and now?")
    await client.until_state("awaiting_user_input", after=said)
    assert asked(model) == ["first", "other"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("scripted:nowhere", "there is no script 'nowhere'"),
        ("nowhere/x", "'nowhere' is no provider"),
        ("two\nlines", "one line"),
        ("", "at least 1 character"),
    ],
)
async def test_a_model_that_cannot_be_used_is_refused_by_its_field(clients: Clients, name: str, problem: str) -> None:
    client = clients.protocol2(await clients.rest.create())
    await client.connect()
    status, answer = await clients.rest.ask("PUT", f"/api/conversations/{client.sid}/model", {"model": name})
    assert (status, answer["code"], answer["field"]) == (422, "bad_input", "model")
    assert problem in answer["message"]
    refused = await client.command("set_model", model=name)
    assert (refused["ok"], refused["code"]) == (False, "bad_input")
    assert (await clients.rest.describe(client.sid))["session"]["model"] == FIRST


async def test_the_commands_of_the_how_to(server: Server, clients: Clients) -> None:
    server.script("other", SCRIPT)
    sid = await clients.rest.create()
    client = clients.protocol2(sid)
    await client.connect()
    commands = CURLED.replace("localhost:3000", server.url.removeprefix("http://")).replace("$ID", sid)
    answers: list[Any] = []
    for command in re.split(r"^(?=curl)", commands, flags=re.MULTILINE)[1:]:
        process = await asyncio.create_subprocess_exec("bash", "-c", command, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        answers.append(json.loads(out))
    switched, described = answers
    assert (switched["model"], described["session"]["model"]) == ("scripted:other", "scripted:other")
    await client.until_id(switched["id"])
    said = await client.say("hello")
    await client.until_state("awaiting_user_input", after=said)
    assert client.events[-3]["args"]["content"] == "This is other."


async def test_a_conversation_whose_model_is_gone_is_given_another_one(server: Server, clients: Clients) -> None:
    script = server.script("other", SCRIPT)
    sid = await clients.rest.create()
    path = f"/api/conversations/{sid}/model"
    assert (await clients.rest.ask("PUT", path, {"model": script}))[0] == 200
    await server.stopped()
    (server.data_dir / "scripts" / "other.yaml").unlink()
    await server.start()
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("error")
    assert (await clients.rest.ask("PUT", path, {"model": "scripted:nowhere"}))[0] == 422
    status, answer = await clients.rest.ask("PUT", path, {"model": "scripted:demo"})
    assert (status, answer["model"]) == (200, "scripted:demo")
    said = await client.say("hello")
    await client.until_state("awaiting_user_input", "finished", after=said)
    assert (await clients.rest.describe(sid))["session"]["model"] == "scripted:demo"


async def test_it_is_limited_as_messages_are(data_dir: Path) -> None:
    settings = {
        "OHS_LLM__MODEL": "scripted",
        "OHS_LIMITS__MESSAGES_PER_SECOND": "0.01",
        "OHS_LIMITS__MESSAGES_BURST": "2",
    }
    async with running_server(data_dir, settings) as limited, Clients(limited.url) as clients:
        path = f"/api/conversations/{await clients.rest.create()}/model"
        answers = [await clients.rest.ask("PUT", path, {"model": "scripted:demo"}) for _ in range(3)]
        assert [(status, answer.get("code")) for status, answer in answers] == [
            (200, None),
            (200, None),
            (429, "rate_limited"),
        ]
