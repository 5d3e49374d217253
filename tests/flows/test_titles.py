"""A conversation gets a name of its own, which everybody who looks at it is told."""

import asyncio
from pathlib import Path

from tests.support.model_server import MODEL, model_server
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Client, accepted

PIXEL = "data:image/png;base64,iVBORw0KGgo="


async def title_of(client: Client) -> str:
    await client.until(lambda: any("conversation_title" in status for status in client.statuses))
    [told] = [status for status in client.statuses if "conversation_title" in status]
    assert told == {**told, "status_update": True, "type": "info", "message": client.sid}
    title: str = told["conversation_title"]
    return title


async def test_without_a_model_it_is_the_first_words(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create()
    client = clients.v0(sid)
    await client.connect()
    await client.say("$ echo one  two " + "and so on " * 20)
    title = await title_of(client)
    assert title.startswith("$ echo one two and so on")
    assert (await clients.rest.describe(sid))["title"] == title

    named = await clients.rest.create()
    await clients.rest.ask("PATCH", f"/api/conversations/{named}", {"title": "Mine"})
    other = clients.protocol2(named)
    await other.connect()
    said = await other.say("$ echo more")
    await other.until_state("awaiting_user_input", after=said)
    assert (await clients.rest.describe(named))["title"] == "Mine"

    model = server.script("named", "name: named\ntitle: A script's name\nreplies: [{steps: [{say: Hello.}]}]\n")
    scripted = clients.protocol2(await clients.rest.create(llm_model=model))
    await scripted.connect()
    await scripted.say("hello")
    assert await title_of(scripted) == "A script's name"


async def test_who_begins_without_words_gets_it_from_the_first_ones(clients: Clients) -> None:
    client = clients.protocol2(await clients.rest.create())
    await client.connect()
    for wordless in ({"content": ""}, {"content": " \n"}, {"content": "", "image_urls": [PIXEL]}):
        said = accepted(await client.command("message", **wordless))
        await client.until_state("awaiting_user_input", after=said)
    at_once = [client.command("message", content=""), client.command("message", content="$ echo these words")]
    for answer in await asyncio.gather(*at_once):
        accepted(answer)
    assert await title_of(client) == "$ echo these words"
    assert (await clients.rest.describe(client.sid))["title"] == "$ echo these words"


async def test_a_model_makes_it_from_the_first_message(data_dir: Path) -> None:
    async with model_server() as model:
        settings = {"OHS_LLM__MODEL": f"openai/{MODEL}", "OHS_LLM__BASE_URL": model.url, "OHS_LLM__API_KEY": "key"}
        async with running_server(data_dir, settings) as server, Clients(server.url) as clients:
            model.title = '"Make it Fast"'
            client = clients.protocol2(await clients.rest.create())
            await client.connect()
            await client.say("make it fast, please")
            assert await title_of(client) == "Make it Fast"
            assert [asked.messages[-1]["content"] for asked in model.titles] == ["make it fast, please"]
            said = await client.say("and small")
            await client.until_state("awaiting_user_input", after=said)
            assert len(model.titles) == 1
