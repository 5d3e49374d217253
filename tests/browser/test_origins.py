"""A page of another origin, in a real browser: it may use REST where its origin is allowed, and nowhere else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import BrowserContext

from tests.support.running_server import running_server

KEY = "a key"
PAGE = "<!doctype html><title>a page of another origin</title>"
CREATES = """async ([url, key]) => {
  const headers = { "Content-Type": "application/json", "X-Session-API-Key": key };
  const made = await fetch(url + "/api/conversations", { method: "POST", headers, body: "{}", credentials: "include" });
  const { conversation_id: id } = await made.json();
  const renamed = await fetch(`${url}/api/conversations/${id}`,
    { method: "PATCH", headers, body: JSON.stringify({ title: "from elsewhere" }), credentials: "include" });
  const deleted = await fetch(`${url}/api/conversations/${id}`, { method: "DELETE", headers, credentials: "include" });
  const unknown = await fetch(`${url}/api/conversations/${id}/events`, { headers, credentials: "include" });
  return [made.status, await renamed.json(), await deleted.json(), unknown.status, (await unknown.json()).code];
}"""
FAILS = """async ([url, key]) => {
  const headers = { "X-Session-API-Key": key };
  const told = [];
  for (const [path, method] of [["/api/conversations", "POST"], ["/api/conversations", "GET"], ["/alive", "GET"]])
    told.push(await fetch(url + path, { method, headers }).then(answer => answer.status, error => error.name));
  return told;
}"""


@asynccontextmanager
async def another_origin() -> AsyncIterator[str]:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def told(browser: BrowserContext, origin: str, script: str, url: str) -> Any:
    page = await browser.new_page()
    await page.goto(f"{origin}/")
    return await page.evaluate(script, [url, KEY])


async def test_a_page_of_an_allowed_origin_uses_rest_and_one_of_another_cannot(
    browser: BrowserContext, data_dir: Path
) -> None:
    async with another_origin() as friend, another_origin() as stranger:
        settings = {"OHS_AUTH__KIND": "session_key", "OHS_SESSION_API_KEY": KEY, "OHS_SERVER__ALLOWED_ORIGINS": friend}
        async with running_server(data_dir, settings) as server:
            assert await told(browser, friend, CREATES, server.url) == [200, True, True, 404, "not_found"]
            assert await told(browser, stranger, FAILS, server.url) == ["TypeError"] * 3
