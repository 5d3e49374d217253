"""A turn that was cut off goes on as it began: what was to be asked about is asked about."""

from pathlib import Path

import pytest

from tests.support.model_replies import Call, Reply
from tests.support.model_server import MODEL, model_server
from tests.support.running_server import running_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import V0Client

WAITS = "echo begun >> began; until test -e go; do sleep 0.02; done"
SCRIPT = [
    Reply(calls=[Call(name="execute_bash", arguments={"command": WAITS})]),
    Reply(calls=[Call(name="execute_bash", arguments={"command": "touch ran"})]),
    Reply(text="Done."),
]


async def asked_about(client: V0Client, command: str) -> None:
    """Wait for the question about a command."""
    await client.until_event(
        lambda event: (
            event.get("args", {}).get("command") == command
            and event["args"]["confirmation_state"] == "awaiting_confirmation"
        )
    )


@pytest.mark.long
@pytest.mark.parametrize("changed_by", ["user", "operator"])
async def test_confirmation_mode_that_was_on_when_a_turn_was_killed_is_on_when_it_goes_on(
    data_dir: Path, changed_by: str
) -> None:
    settings = {"OHS_AGENT__CONFIRMATION_MODE": "true"}
    async with (
        model_server({"go": SCRIPT}) as model,
        running_server(data_dir, settings) as server,
        Clients(server.url) as clients,
    ):
        rest = clients.rest
        chosen = {"llm_model": f"openai/{MODEL}", "llm_base_url": model.url, "llm_api_key": "sk-loopback"}
        await rest.ask("POST", "/api/settings", chosen)
        sid = await rest.create("please [[go]]")
        client = clients.v0(sid)
        await client.connect()
        await asked_about(client, WAITS)
        await client.order("user_confirmed")
        begun = server.workspace(sid) / "began"
        await client.until_event(
            lambda event: (
                event.get("args", {}).get("command") == WAITS and event["args"]["confirmation_state"] == "confirmed"
            )
        )
        if changed_by == "user":
            await rest.ask("POST", "/api/settings", {"confirmation_mode": False})
        await server.killed()
        if changed_by == "operator":
            server.settings = {"OHS_AGENT__CONFIRMATION_MODE": "false"}
        await server.start()
        (server.workspace(sid) / "go").touch()
        await client.connect()
        await asked_about(client, "touch ran")
        assert not (server.workspace(sid) / "ran").exists()
        await client.order("user_confirmed")
        await client.until_event(lambda event: event.get("message") == "Done.")
        assert (server.workspace(sid) / "ran").exists()
        assert begun.read_text() == "begun\n"


async def test_a_conversation_that_its_user_stops_begins_again_with_the_settings_of_the_day(data_dir: Path) -> None:
    touch = [Reply(calls=[Call(name="execute_bash", arguments={"command": "touch ran"})]), Reply(text="Done.")]
    async with model_server({"go": touch}) as model, running_server(data_dir) as server, Clients(server.url) as clients:
        rest = clients.rest
        chosen = {"llm_model": f"openai/{MODEL}", "llm_base_url": model.url, "llm_api_key": "sk-loopback"}
        await rest.ask("POST", "/api/settings", chosen)
        sid = await rest.create()
        await clients.until_ready(sid)
        await rest.ask("POST", "/api/settings", {"confirmation_mode": True})
        await rest.ask("POST", f"/api/conversations/{sid}/stop")
        client = clients.v0(sid)
        await client.connect()
        await client.say("please [[go]]")
        await asked_about(client, "touch ran")
        assert not (server.workspace(sid) / "ran").exists()
