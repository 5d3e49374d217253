"""Everything that a browser test takes: a model, a server that serves the page, tabs, and REST beside them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import BrowserContext

from tests.support.guests import Guests
from tests.support.model_replies import Answer
from tests.support.model_server import MODEL, ModelServer, model_server
from tests.support.running import Server, running
from tests.support.tabs import WITHIN, Tab, check_repetition

SETTINGS = {"OHS_LIMITS__MESSAGES_PER_SECOND": "1000", "OHS_LIMITS__MESSAGES_BURST": "1000"}


@dataclass(frozen=True)
class Visitors:
    """Those who visit one server. `guests` are beside the browser."""

    browser: BrowserContext
    server: Server
    model: ModelServer
    guests: Guests

    async def tab(self, url: str | None = None) -> Tab:
        """A new tab, on no page yet; `url` where it is to reach the server by another way."""
        return Tab(await self.browser.new_page(), url or self.server.url)

    async def check_repetition(self, sid: str, *tabs: Tab, within: float = WITHIN) -> None:
        """Wait until each tab has the newest event that is shown at all, then compare it with the log."""
        log = await self.guests.rest.events(sid)
        for tab in tabs:
            await tab.until_shown(log, within)
            check_repetition(log, await tab.held())


@asynccontextmanager
async def visiting(
    browser: BrowserContext,
    data_dir: Path,
    client_dir: Path,
    scripts: Mapping[str, Sequence[Answer]],
    **settings: object,
) -> AsyncIterator[Visitors]:
    """A server whose model plays these scripts. `settings` are stored as the user's own, beside the model."""
    served = SETTINGS | {"OHS_SERVER__CLIENT_DIR": str(client_dir)}
    async with (
        model_server(scripts) as model,
        running(data_dir, served) as server,
        Guests(server.url) as guests,
    ):
        chosen = {"llm_model": f"openai/{MODEL}", "llm_base_url": model.url, "llm_api_key": "sk-loopback", **settings}
        status, answer = await guests.rest.ask("POST", "/api/settings", chosen)
        assert status == 200, answer
        yield Visitors(browser, server, model, guests)
        assert model.complaints == []
