"""Logging in with a real browser: by the printed link, by the form; what the cookie opens, and what it does not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import BrowserContext

from openhands_sessions.config.session_key import read_key
from tests.support.browser_tabs import Tab
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

FOREIGN = """<!doctype html><title>another page of this host</title><script type="module">
  const [url, held] = [location.hash.slice(1), { status: [], socket: "" }];
  for (const credentials of ["include", "omit"])
    held.status.push(await fetch(url + "/api/conversations", { method: "POST", mode: "no-cors", credentials })
      .then(answer => answer.type, () => "failed"));
  const socket = new WebSocket(url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket");
  socket.onopen = () => { held.socket = "open"; window.held = held };
  socket.onerror = () => { held.socket = "refused"; window.held = held };
</script>"""


@pytest.fixture
async def server(data_dir: Path, client_dir: Path) -> AsyncIterator[Server]:
    settings = {"OHS_AUTH__KIND": "session_key", "OHS_SERVER__CLIENT_DIR": str(client_dir)}
    async with running_server(data_dir, settings) as ready:
        async with Clients(ready.url, key=key_of(ready)) as clients:  # a page without settings asks for them first
            await clients.rest.ask("POST", "/api/settings", {"language": "en"})
        yield ready


def key_of(server: Server) -> str:
    key = read_key(server.data_dir)
    assert key is not None
    return key


async def link_to(server: Server) -> str:
    async with Clients(server.url, key=key_of(server)) as clients:
        _, answer = await clients.rest.ask("POST", "/api/login-link")
    return f"{server.url}/?token={answer['token']}"


async def test_the_printed_link_opens_pages_rest_and_socket_also_after_a_reload_and_a_restart(
    browser: BrowserContext, server: Server
) -> None:
    tab = Tab(await browser.new_page(), server.url)
    await tab.page.goto(await link_to(server))
    assert tab.page.url == f"{server.url}/"
    assert await tab.page.evaluate("document.cookie") == ""
    [cookie] = await browser.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    sid = await tab.begin("$ echo by cookie")
    await tab.until("held => held.events.some(event => event.content?.includes('by cookie'))")
    await tab.page.reload()
    await tab.until_state("awaiting_user_input")
    head = (await tab.held()).ids[-1]
    await server.stopped()
    await tab.until_connected(False)
    await server.start()
    await tab.until_connected()
    await tab.say("$ echo once more")
    await tab.until_state("awaiting_user_input", after=head)
    assert tab.page.url.endswith(sid)


async def test_a_used_link_says_so_and_the_form_takes_the_key_and_leads_to_the_page(
    browser: BrowserContext, server: Server
) -> None:
    link, tab = await link_to(server), Tab(await browser.new_page(), server.url)
    await tab.page.goto(link)
    await browser.clear_cookies()
    await tab.page.goto(link)
    assert "token" not in tab.page.url
    assert "was used already" in await tab.page.get_by_role("alert").inner_text()
    async with Clients(server.url, key=key_of(server)) as clients:
        sid = await clients.rest.create("$ echo hello")
    await tab.visit(sid)
    for key, told in (("wrong", "not the key of this server"), (key_of(server), "")):
        await tab.page.get_by_label("Session key").fill(key)
        await tab.press("Log in")
        if told:
            await tab.page.get_by_text(told).wait_for()
    await tab.until_state("awaiting_user_input")
    assert tab.page.url.endswith(f"/conversations/{sid}")


async def test_a_page_of_another_origin_of_the_same_host_gets_nothing_by_the_cookie(
    browser: BrowserContext, server: Server
) -> None:
    async def foreign(request: web.Request) -> web.Response:
        return web.Response(text=FOREIGN, content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/", foreign)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        page = await browser.new_page()
        await page.goto(await link_to(server))
        await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/#{server.url}")
        await page.wait_for_function("window.held?.socket")
        assert await page.evaluate("window.held.socket") == "refused"
    finally:
        await runner.cleanup()
    refused = await server.logged("a caller was refused", 3)
    assert [line["cause"] for line in refused] == ["foreign origin"] * 3
    async with Clients(server.url, key=key_of(server)) as clients:
        assert (await clients.rest.ask("GET", "/api/conversations"))[1]["results"] == []


async def test_two_servers_of_one_host_keep_their_logins_apart(
    browser: BrowserContext, server: Server, tmp_path: Path
) -> None:
    page = await browser.new_page()
    async with running_server(tmp_path / "other", {"OHS_AUTH__KIND": "session_key"}) as other:
        for each in (server, other):
            await page.goto(await link_to(each))
        for each in (server, other):
            answer = await page.goto(f"{each.url}/api/conversations")
            assert answer is not None
            assert answer.status == 200
        await page.goto(other.url)
        async with asyncio.timeout(60), page.expect_navigation():
            await page.get_by_role("button", name="Log out").click()
        await page.get_by_label("Session key").wait_for()
        assert [cookie["name"] for cookie in await browser.cookies()] == [f"ohs_login_{server.port}"]
