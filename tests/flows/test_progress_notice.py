"""Clients of both protocols are told that nothing happens in a turn, and what it waits for."""

from pathlib import Path
from typing import Any

from tests.support.running_server import running_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Client

TOLD = "waiting for the result of event {} (run)."


def notices(client: Client) -> list[dict[str, Any]]:
    return [one for one in client.statuses if one["message"].startswith("Nothing has happened for ")]


async def test_a_silent_command_is_told_to_both_kinds_of_clients(data_dir: Path) -> None:
    settings = {"OHS_AGENT__PROGRESS_NOTICE": "0.3"}
    async with running_server(data_dir, settings) as server, Clients(server.url) as clients:
        sid = await clients.rest.create()
        own, v0 = clients.protocol2(sid), clients.v0(sid)
        await own.connect()
        await v0.connect()
        said = await own.say("$ sleep 600")
        run = (await own.until_event(lambda event: event.get("action") == "run"))["id"]
        await own.until(lambda: any(one["message"].endswith(TOLD.format(run)) for one in notices(own)))
        await v0.until(lambda: any(one["message"].endswith(TOLD.format(run)) for one in notices(v0)))
        await own.order("stopped")
        await own.until_state("stopped", after=said)
        assert {(one["type"], one.get("id")) for one in notices(own)} == {("info", "STATUS$NO_PROGRESS")}
        assert {(one["type"], one.get("id")) for one in notices(v0)} == {("info", None)}
        assert sum(one["message"].endswith(TOLD.format(run)) for one in notices(own)) == 1
