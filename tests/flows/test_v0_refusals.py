"""A command that is refused is told to the V0 client in two packets: the bare error that the protocol knows, and a
status update with all that the client's red banner asks of an event."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import ENVELOPE, V0Client

LIMIT = 64 * 1024
PICTURE = "data:image/png;base64,iVBORw0KGgo="
BLIND = """\
name: blind
vision: false
replies:
  - steps:
      - say: Done.
"""


@pytest.fixture
def server(shared_server: Server) -> Server:
    return shared_server


def message(content: str, **more: Any) -> dict[str, Any]:
    return {"action": "message", "args": {"content": content, "image_urls": [], "file_urls": [], **more}}


def state(name: str) -> dict[str, Any]:
    return {"action": "change_agent_state", "args": {"agent_state": name}}


async def opened(clients: Clients, **settings: Any) -> V0Client:
    client = clients.v0(await clients.rest.create(**settings))
    await client.connect()
    await client.until_state("awaiting_user_input")
    return client


async def refused(client: V0Client, command: Mapping[str, Any]) -> dict[str, Any]:
    """The bare error for a command, once the banner for it was sent too."""
    before = len(client.errors)
    await client.send(dict(command))
    await client.until(lambda: len(client.errors) > before and bool(banners(client)[before:]))
    return client.errors[-1]


def banners(client: V0Client) -> list[dict[str, Any]]:
    """What the client would show in red: it has the envelope of an event, and is a status update of type error."""
    return [each for each in client.statuses if each.keys() >= ENVELOPE and each["type"] == "error"]


async def test_an_image_for_a_model_without_eyes_is_refused_in_the_banner(server: Server, clients: Clients) -> None:
    client = await opened(clients, llm_model=server.script("blind", BLIND))
    told = await refused(client, message("look", image_urls=[PICTURE]))
    [banner] = banners(client)
    assert (told["code"], banner["id"], banner["source"]) == ("bad_input", "STATUS$ERROR", "environment")
    assert banner["message"] == told["message"]
    assert "cannot be looked at by this model" in banner["message"]
    assert datetime.fromisoformat(banner["timestamp"]).tzinfo is not None


async def test_the_banner_never_moves_the_clients_cursor(clients: Clients) -> None:
    client = await opened(clients)
    await refused(client, state("user_confirmed"))
    [banner] = banners(client)
    assert not banner["id"][:1].isdigit(), "it would be taken for the id of an event"
    assert not {"action", "observation"} & banner.keys()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (message("x" * 1_000_001), "bad_input"),
        ({"action": "launch"}, "bad_input"),
        (state("dancing"), "bad_input"),
        (state("user_confirmed"), "not_accepting"),
        (state("running"), "not_accepting"),
    ],
)
async def test_every_refusal_of_a_command_is_in_the_banner(
    clients: Clients, command: dict[str, Any], code: str
) -> None:
    client = await opened(clients)
    told = await refused(client, command)
    assert told["code"] == code
    assert [banner["message"] for banner in banners(client)] == [told["message"]]


async def test_what_is_too_fast_or_too_large_is_in_the_banner(data_dir: Path) -> None:
    limits = {
        "OHS_LIMITS__MESSAGES_PER_SECOND": "0.1",
        "OHS_LIMITS__MESSAGES_BURST": "1",
        "OHS_LIMITS__MESSAGE_BYTES": str(LIMIT),
    }
    async with running_server(data_dir, limits) as server, Clients(server.url) as clients:
        client = await opened(clients)
        assert (await refused(client, message("x" * LIMIT)))["code"] == "too_large"
        await client.send(message("$ true"))
        assert (await refused(client, message("$ true")))["code"] == "rate_limited"
        assert [banner["message"] for banner in banners(client)] == [error["message"] for error in client.errors]


async def test_a_client_that_asks_for_an_acknowledgement_gets_no_banner(clients: Clients) -> None:
    client = clients.protocol2(await clients.rest.create())
    await client.connect()
    await client.until_state("awaiting_user_input")
    assert (await client.command("change_agent_state", agent_state="user_confirmed"))["code"] == "not_accepting"
    await client.say("$ true")
    assert [each for each in client.statuses if each["type"] == "error"] == client.errors == []
