"""Auto-approval budgets and pauses in spending, over REST, the socket and the command line, and over a SIGKILL."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from openhands_sessions.cli.settings import loaded
from tests.support.command_line import CommandLine
from tests.support.model_replies import Call, Reply
from tests.support.model_server import MODEL, ModelServer, model_server
from tests.support.running_server import running_server
from tests.support.server_clients import Clients

WAITS = "echo begun >> begun; until test -e go; do sleep 0.02; done"
GUIDE = (Path(__file__).parents[2] / "docs" / "howto" / "limit-what-it-spends.md").read_text()
PRICED = "openai/gpt-4o"
"""Of which the library knows what it costs."""
PRICES = [{"tool": "execute_bash", "pattern": "echo begun*", "dollars": 3}]


def runs(*commands: str) -> Reply:
    return Reply(calls=[Call(name="execute_bash", arguments={"command": command}) for command in commands])


def chosen(model: ModelServer, **settings: Any) -> dict[str, Any]:
    return {
        "llm_model": f"openai/{MODEL}",
        "llm_base_url": model.url,
        "llm_api_key": "sk-loopback",
        "confirmation_mode": True,
        "call_prices": PRICES,
        **settings,
    }


async def budget(clients: Clients, sid: str) -> dict[str, Any]:
    _, found = await clients.rest.ask("GET", f"/api/conversations/{sid}")
    return dict(found["session"]["budget"])


async def test_a_server_that_is_killed_in_a_call_within_the_budget_spends_its_price_once(data_dir: Path) -> None:
    script = [runs(WAITS), Reply(text="Done.")]
    async with (
        model_server({"go": script}) as model,
        running_server(data_dir) as server,
        Clients(server.url) as clients,
    ):
        await clients.rest.ask("POST", "/api/settings", chosen(model, auto_approval_budget=5))
        sid = await clients.rest.create("please [[go]]")
        client = clients.v0(sid)
        await client.connect()
        await client.until_event(lambda event: event.get("args", {}).get("command") == WAITS)
        assert await budget(clients, sid) == {"dollars": 5, "spent": 0, "reserved": 3, "rest": 2}
        await server.killed()
        await server.start()
        (server.workspace(sid) / "go").touch()
        await client.connect()
        await client.until_event(lambda event: event.get("message") == "Done.")
        assert await budget(clients, sid) == {"dollars": 5, "spent": 3, "reserved": 0, "rest": 2}
        assert (server.workspace(sid) / "begun").read_text() == "begun\n"


async def test_a_budget_is_set_over_rest_the_socket_and_the_command_line(data_dir: Path) -> None:
    async with running_server(data_dir) as server, Clients(server.url) as clients:
        sid = await clients.rest.create()
        await clients.until_ready(sid)
        assert (await budget(clients, sid))["dollars"] is None
        path = f"/api/conversations/{sid}/budget"
        status, first = await clients.rest.ask("PUT", path, {"dollars": 2.5, "key": "once"})
        assert (status, first["dollars"]) == (200, 2.5)
        assert await clients.rest.ask("PUT", path, {"dollars": 2.5, "key": "once"}) == (200, first)
        client = clients.protocol2(sid)
        await client.connect()
        assert (await client.call("oh_user_action", {"action": "set_budget", "args": {"dollars": 4}}))["ok"]
        assert (await budget(clients, sid))["dollars"] == 4
        for wrong in (-1, "3", 1e300, True):
            status, problem = await clients.rest.ask("PUT", path, {"dollars": wrong})
            assert (status, problem["code"]) == (422, "bad_input"), wrong
        line = CommandLine(data_dir)
        shown = await line.run("sessions", "budget", sid, "7", "--server", server.url)
        assert shown.out == "The auto-approval budget is $7.00: $0.00 spent, $0.00 reserved, $7.00 left.\n"
        told = await line.run("sessions", "budget", sid, "--json", "--server", server.url)
        assert json.loads(told.out) == {"dollars": 7, "spent": 0, "reserved": 0, "rest": 7}
        refused = await line.run("sessions", "budget", sid, "much", "--server", server.url)
        assert (refused.code, refused.out) == (2, "")
        assert "must be a number of US dollars" in refused.err
        off = await line.run("sessions", "budget", sid, "off", "--server", server.url)
        assert off.out == "The auto-approval budget is off; $0.00 spent, $0.00 reserved.\n"


async def asks_to_spend(clients: Clients, sid: str) -> dict[str, Any]:
    """What is asked, as soon as that is known."""
    async with asyncio.timeout(60):
        while True:
            _, found = await clients.rest.ask("GET", f"/api/conversations/{sid}")
            if found["session"]["approval"] is not None:
                break
            await asyncio.sleep(0.02)
    [call] = found["session"]["approval"]["calls"]
    assert found["session"]["approval"]["about"] == "spending"
    return dict(json.loads(call["arguments"]))


async def test_a_conversation_pauses_at_its_threshold_asks_a_v0_client_and_goes_on_after_a_restart(
    data_dir: Path,
) -> None:
    script = [runs("true"), runs("true"), Reply(text="Done.")]
    async with (
        model_server({"go": script}) as model,
        running_server(data_dir) as server,
        Clients(server.url) as clients,
    ):
        settings = chosen(model, confirmation_mode=False, spending_pause_at=0.000_001, llm_model=PRICED)
        await clients.rest.ask("POST", "/api/settings", settings)
        sid = await clients.rest.create("please [[go]]")
        client = clients.v0(sid)
        await client.connect()
        await client.until_state("awaiting_user_confirmation")
        asked = await asks_to_spend(clients, sid)
        assert asked["spent"] >= asked["threshold"] == 0.000_001
        assert asked["then"] > asked["spent"]
        await server.killed()
        await server.start()
        assert await asks_to_spend(clients, sid) == asked
        await client.connect()
        await client.order("user_confirmed")
        await client.until_state("awaiting_user_confirmation", after=client.ids[-1])
        again = await asks_to_spend(clients, sid)
        assert again["threshold"] == asked["then"]
        await client.order("user_rejected")
        await client.until_state("awaiting_user_input", after=client.ids[-1])


async def test_the_commands_of_the_guide(data_dir: Path) -> None:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    [commands] = [block for language, block in blocks if not language]
    put, *others = commands.strip().splitlines()
    async with running_server(data_dir) as server, Clients(server.url) as clients:
        sid = await clients.rest.create()
        await clients.until_ready(sid)
        line = put.replace("localhost:3000", server.url.removeprefix("http://")).replace("$ID", sid)
        process = await asyncio.create_subprocess_exec("bash", "-c", line, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        assert json.loads(out)["dollars"] == 20
        told = []
        for other in others:
            _, *words = other.replace("$ID", sid).split()
            done = await CommandLine(data_dir).run(*words, "--server", server.url)
            told.append(done.out.partition(":")[0].partition(";")[0])
        assert told == ["The auto-approval budget is $20.00", *["The auto-approval budget is off"] * 2]


def test_the_settings_of_the_guide_are_taken(tmp_path: Path) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    file = tmp_path / "settings.toml"
    for block in blocks:
        file.write_text(block)
        loaded({}, file)
    assert len(blocks) == 2
