"""Secrets in every form, through a whole server and a real sandbox: none is told, kept or written down."""

import io
import json
import random
import shlex
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from openhands_sessions.core.masking import MASK
from tests.support.event_stream_client import EventStreamClient
from tests.support.running_server import Server, running_server
from tests.support.secret_placements import CODE, Placement, leaking, placement
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client

PLACEMENTS = 1_000
BATCHES = 10
AS_CODE = "printf %s"
AT_ONCE = 10
"""Files that one command shows: as many as an output keeps whole."""
SETTINGS = {
    "OHS_SERVER__ENCRYPTION_KEY": "0123456789abcdef" * 4,
    "OHS_LOG__LEVEL": "debug",
    "OHS_AUDIT__ENABLED": "true",
}


def batch(number: int) -> Sequence[Placement]:
    """A tenth of all placements."""
    size = PLACEMENTS // BATCHES
    return [placement(random.Random(10_000 + each)) for each in range(number * size, (number + 1) * size)]


async def keep(clients: Clients, placed: Sequence[Placement]) -> None:
    """Store the values that are known, as a user does."""
    for number, one in enumerate(placed):
        if one.known:
            body = {"name": f"SECRET_{number}", "value": one.secret}
            status, told = await clients.rest.ask("POST", "/api/secrets", body)
            assert status == 201, told


async def upload(clients: Clients, sid: str, placed: Sequence[Placement]) -> None:
    form = aiohttp.FormData()
    for number, one in enumerate(placed):
        form.add_field("files", io.BytesIO(one.text.encode()), filename=f"p{number}")
    async with clients.rest.http.post(f"{clients.rest.url}/api/conversations/{sid}/upload-files", data=form) as answer:
        told = await answer.json()
        assert (answer.status, told.get("skipped_files")) == (200, []), told


async def show(client: Protocol2Client, placed: Sequence[Placement]) -> None:
    """Have the sandbox print every file, cut in two at some place, on both streams, and say some of them."""
    of = random.Random(len(placed))
    for start in range(0, len(placed), AT_ONCE):
        parts = []
        for number in range(start, min(start + AT_ONCE, len(placed))):
            cut = of.randint(1, max(1, len(placed[number].text.encode()) - 1))
            to = of.choice(("", " >&2"))
            parts.append(f"head -c {cut} p{number}{to}; sleep 0.01; tail -c +{cut + 1} p{number}{to}; echo")
        await turn(client, "$ " + "; ".join(parts))
        await turn(client, f"it says: {placed[start].text}")
    quoted = shlex.quote(CODE)
    await turn(client, f"$ {AS_CODE} {quoted}")


async def turn(client: Protocol2Client, text: str) -> None:
    said = await client.say(text)
    await client.until_state("awaiting_user_input", after=said, within=60)


async def refused(clients: Clients, client: Protocol2Client, placed: Sequence[Placement]) -> list[str]:
    """What callers are told of requests that hold a token and are wrong."""
    told = []
    for one in placed:
        if not one.known:  # of a known value, the caller is its owner
            for path, body in (
                (f"/api/conversations/{client.sid}/events", {"action": one.text}),
                ("/api/conversations", {"settings": {one.text: 1}}),
            ):
                status, answer = await clients.rest.ask("POST", path, body)
                assert status in (404, 422), answer
                told.append(json.dumps(answer))
            answer = await client.command(one.text)
            assert not answer["ok"]
            told.append(json.dumps(answer))
    return told


def written(server: Server) -> list[str]:
    """Every file of the data folder, and the log; but for the workspaces, whose files are the user's own."""
    files = [path for path in server.data_dir.rglob("*") if path.is_file()]
    kept = [path for path in files if "workspace" not in path.relative_to(server.data_dir).parts]
    assert {"sessions.db", "journal"} <= {path.name for path in kept}
    return [server.log, *(path.read_bytes().decode("utf-8", "replace") for path in kept)]


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, *(pytest.param(each, marks=pytest.mark.long) for each in range(1, BATCHES))])
async def test_no_secret_is_told_kept_or_written_down_by_a_server(data_dir: Path, number: int) -> None:
    placed = batch(number)
    secrets = [one.secret for one in placed]
    async with running_server(data_dir, SETTINGS) as server, Clients(server.url) as clients:
        await keep(clients, placed)
        sid = await clients.rest.create()
        client = clients.protocol2(sid)
        await client.connect()
        await upload(clients, sid, placed)
        await show(client, placed)
        stream = EventStreamClient(clients.rest.http, clients.rest.url, sid)
        await stream.until(lambda frame: frame.id == client.events[-1]["id"])
        _, exported = await clients.rest.ask("GET", f"/api/conversations/{sid}/trajectory")
        _, listed = await clients.rest.ask("GET", "/api/conversations")
        assert str(client.events).count(MASK) > len(placed), "all was shown, but for its secrets"
        frames = (client.events, client.statuses, client.streams, stream.frames)
        for told in ([*map(str, frames)], [json.dumps(exported), json.dumps(listed)]):
            assert leaking(told, secrets) == []
        assert leaking(await refused(clients, client, placed), secrets) == []
        [code] = [event for event in client.events if event.get("extras", {}).get("command", "").startswith(AS_CODE)]
        assert code["content"].rstrip() == CODE.rstrip(), "ordinary code is shown as it is"
        await server.stopped()
        assert leaking(written(server), secrets) == []
