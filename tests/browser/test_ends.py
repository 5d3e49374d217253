"""How a connection of the real client ends, and whether it comes back by itself."""

from pathlib import Path

import pytest
from playwright.async_api import BrowserContext

from tests.support.browser_tabs import browser_clients
from tests.support.model_replies import Call, Reply

WAITS = "echo $OHS_ACTION_ID >> ran; echo begun; until test -e go; do sleep 0.02; done"
RUNS = Reply(calls=[Call(name="execute_bash", arguments={"command": WAITS})])
FINISHES = Reply(calls=[Call(name="finish", arguments={"message": "Now it is done."})])


@pytest.mark.parametrize("way", ["killed", pytest.param("stopped", marks=pytest.mark.long)])
async def test_a_server_that_is_started_again_in_mid_run_is_come_back_to(
    browser: BrowserContext, data_dir: Path, client_dir: Path, way: str
) -> None:
    async with browser_clients(browser, data_dir, client_dir, {"run": [RUNS, FINISHES]}) as visitors:
        server, tab = visitors.server, await visitors.tab()
        sid = await tab.begin("please run [[run]]")
        beside = visitors.clients.protocol2(sid)
        await beside.connect()
        await beside.until(lambda: any("begun" in stream.text for stream in beside.streams.values()))
        await tab.until("held => held.events.some(event => event.action === 'run')")
        await (server.killed() if way == "killed" else server.stopped())
        await tab.until_connected(False)
        await server.start()
        (server.workspace(sid) / "go").touch()
        await tab.until_state("finished")
        await visitors.check_delivery(sid, tab)
        assert len((server.workspace(sid) / "ran").read_text().split()) == 1
        assert (await tab.held()).ends == ["transport close"]


@pytest.mark.long
@pytest.mark.parametrize("way", ["killed", "stopped"])
async def test_an_idle_page_is_never_told_that_its_conversation_is_stopped_while_the_server_is_started_again(
    browser: BrowserContext, data_dir: Path, client_dir: Path, way: str
) -> None:
    async with browser_clients(browser, data_dir, client_dir, {"run": [FINISHES]}) as visitors:
        server, tab = visitors.server, await visitors.tab()
        sid = await tab.begin()
        await tab.until_state("awaiting_user_input")
        await (server.killed() if way == "killed" else server.stopped())
        await tab.until_connected(False)
        before = len((await tab.held()).looks)
        await server.start()
        other = await visitors.tab()
        await other.visit(sid)
        for each in (tab, other):
            await each.until_connected()
        await tab.say("please finish [[run]]")
        await tab.until_state("finished")
        await visitors.check_delivery(sid, tab, other)
        assert "STOPPED" not in [*(await tab.held()).looks[before:], *(await other.held()).looks]
        assert await tab.page.get_by_role("status").inner_text() == "Connected"


@pytest.mark.long
async def test_confirmation_mode_that_was_on_when_the_server_was_killed_still_asks_in_the_page(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    asked = Reply(calls=[Call(name="execute_bash", arguments={"command": "touch asked"})])
    scripts = {"run": [RUNS, asked, FINISHES]}
    async with browser_clients(browser, data_dir, client_dir, scripts, confirmation_mode=True) as visitors:
        server, tab = visitors.server, await visitors.tab()
        sid = await tab.begin("please run [[run]]")
        asked_first = await tab.until_state("awaiting_user_confirmation")
        await tab.press("Confirm")
        await tab.until_state("user_confirmed", after=asked_first)
        await visitors.clients.rest.ask("POST", "/api/settings", {"confirmation_mode": False})
        await server.killed()
        await tab.until_connected(False)
        await server.start()
        (server.workspace(sid) / "go").touch()
        await tab.until_state("awaiting_user_confirmation", after=asked_first)
        assert len(await tab.rows(confirmation="awaiting_confirmation")) == 2
        assert not (server.workspace(sid) / "asked").exists()
        await tab.press("Confirm")
        await tab.until_state("finished")
        assert (server.workspace(sid) / "asked").exists()
        await visitors.check_delivery(sid, tab)


async def test_a_conversation_that_is_stopped_ends_the_connection_for_good(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    async with browser_clients(browser, data_dir, client_dir, {"run": [FINISHES, FINISHES]}) as visitors:
        tab, later = await visitors.tab(), await visitors.tab()
        sid = await tab.begin("please finish [[run]]")
        await tab.until_state("finished")
        await visitors.clients.rest.ask("POST", f"/api/conversations/{sid}/stop")
        await tab.until_connected(False)
        held = await tab.held()
        assert (held.ends, len(held.visits)) == (["io server disconnect"], 1)

        await later.visit(sid)
        await later.until("held => held.events.length > 0")
        await later.say("again [[run]]")
        await later.until("held => held.events.filter(event => event.action === 'finish').length === 2")
        await visitors.check_delivery(sid, later)
        held = await tab.held()
        assert (held.ends, len(held.visits)) == (["io server disconnect"], 1)


async def test_a_refusal_is_told(browser: BrowserContext, data_dir: Path, client_dir: Path) -> None:
    async with browser_clients(browser, data_dir, client_dir, {}) as visitors:
        server, tab = visitors.server, await visitors.tab()
        await tab.begin()
        await tab.until_state("awaiting_user_input")
        await server.stopped()
        server.settings = {**server.settings, "OHS_SERVER__SESSION_API_KEY": "a-key-from-now-on"}
        await server.start()
        await tab.until("held => held.refusals.length > 0")
        held = await tab.held()
        [refusal] = held.refusals
        assert refusal["message"]
        assert await tab.page.get_by_role("alert").inner_text() == refusal["message"]
        assert len(held.ends) == 1


async def test_a_conversation_that_cannot_be_set_up_says_why_and_goes_on_once_the_settings_are_mended(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    async with browser_clients(browser, data_dir, client_dir, {"run": [FINISHES]}) as visitors:
        rest, tab = visitors.clients.rest, await visitors.tab()
        _, good = await rest.ask("GET", "/api/settings")
        await rest.ask("POST", "/api/settings", {"llm_model": "nosuch/model"})
        sid = await tab.begin("please finish [[run]]")
        await tab.until_state("error")
        assert await tab.page.get_by_role("alert").inner_text() == (await rest.describe(sid))["session"]["problem"]
        await rest.ask("POST", "/api/settings", {"llm_model": good["llm_model"]})
        await tab.page.reload()
        await tab.until_state("finished")
        await visitors.check_delivery(sid, tab)
        assert (await rest.describe(sid))["runtime_status"] == "STATUS$READY"
