"""A page of the V0 client that does nothing while the server is started again: its conversation is never stopped."""

from pathlib import Path

import pytest

from tests.support.running_server import running_server
from tests.support.server_clients import Clients


@pytest.mark.parametrize("way", ["killed", "stopped"])
async def test_an_idle_conversation_is_running_from_the_first_answer_of_the_next_server(
    data_dir: Path, way: str
) -> None:
    async with running_server(data_dir) as server, Clients(server.url) as clients:
        rest, sid, over = clients.rest, await clients.rest.create(), await clients.rest.create()
        client = clients.v0(sid)
        await client.connect()
        await client.until_state("awaiting_user_input")
        await clients.until_ready(over)
        await rest.ask("POST", f"/api/conversations/{over}/stop")
        before = await rest.describe(sid)
        await (server.killed() if way == "killed" else server.stopped())
        await server.start()
        _, page = await rest.ask("GET", "/api/conversations")
        listed = {each["conversation_id"]: each for each in page["results"]}
        for shown in (await rest.describe(sid), listed[sid]):
            assert [shown[name] for name in ("status", "runtime_status", "url")] == [
                before[name] for name in ("status", "runtime_status", "url")
            ], "a change of any of them has the client give its connection up"
            assert shown["session"]["state"] is None
        assert (listed[over]["status"], listed[over]["url"]) == ("STOPPED", None)
        await client.connect()
        await client.say("$ echo back")
        await client.until_event(lambda event: event.get("observation") == "run")
        assert (await rest.describe(sid))["session"]["state"] is not None
        await rest.ask("POST", f"/api/conversations/{sid}/stop")
        assert (await rest.describe(sid))["status"] == "STOPPED"
