"""Tabs of a real browser: what a user does in one, the events that its page holds, and the server that they visit."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Page
from playwright.async_api import TimeoutError as TooLate

from tests.support.event_summaries import Event, shown, state_of
from tests.support.model_replies import Answer
from tests.support.model_server import MODEL, ModelServer, model_server
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.v0_event_filter import explains, known_to_v0, without_own_keys

WITHIN = 60.0


@dataclass(frozen=True)
class PageEvents:
    """The page's memory at one moment. Each visit is the cursor of a connection, and the ids that came over it."""

    events: Sequence[Event]
    visits: Sequence[tuple[int, Sequence[int]]]
    ends: Sequence[str]
    refusals: Sequence[dict[str, Any]]
    failed: int
    """Attempts to connect that came to nothing."""
    looks: Sequence[str]
    """The conversation's status, each time the page asked."""
    banners: Sequence[str]
    """What was shown in red."""

    @property
    def ids(self) -> list[int]:
        return [event["id"] for event in self.events]

    @property
    def drops(self) -> int:
        return len(self.ends) + self.failed


class Tab:
    """One tab; `url` is where it finds the server."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        page.set_default_timeout(WITHIN * 1000)

    async def begin(self, message: str = "") -> str:
        """Make a conversation from the home page; its id."""
        await self.page.goto(self.url)
        await self.page.get_by_label("First message").fill(message)
        await self.page.get_by_role("button", name="Launch").click()
        await self.page.wait_for_url("**/conversations/*")
        return self.page.url.rpartition("/")[2]

    async def visit(self, sid: str) -> None:
        """Go to a conversation."""
        await self.page.goto(f"{self.url}/conversations/{sid}")

    async def say(self, text: str) -> None:
        await self.page.get_by_label("Message", exact=True).fill(text)
        await self.press("Send")

    async def until_banner(self, words: str) -> str:
        """Wait for the red banner to hold these words; its text."""
        shown = self.page.get_by_role("alert").filter(has_text=words)
        await shown.wait_for()
        return await shown.inner_text()

    async def press(self, button: str) -> None:
        await self.page.get_by_role("button", name=button, exact=True).click()

    async def until(self, condition: str, value: object = None, within: float = WITHIN) -> None:
        """Wait for a JavaScript function of the page's memory, and of one value, to be true."""
        wanted = f"value => ({condition})(window.held, value)"
        try:
            await self.page.wait_for_function(wanted, arg=value, timeout=within * 1000)
        except TooLate as error:
            held = await self.held()
            error.add_note(f"{held.ends} {held.refusals} {held.failed}; the last events: {shown(held.events[-8:])}")
            raise

    async def until_id(self, event_id: int, within: float = WITHIN) -> None:
        await self.until("(held, id) => (held.events.at(-1)?.id ?? -1) >= id", event_id, within)

    async def until_shown(self, log: Sequence[Event], within: float = WITHIN) -> None:
        """Wait for the newest event of a log that such a page is shown."""
        await self.until_id(max(event["id"] for event in log if known_to_v0(event)), within)

    async def until_state(self, state: str, *, after: int = -1, within: float = WITHIN) -> int:
        """Wait for the agent to come to a state; the id of the event that says so."""
        wanted = "event.id > value.after && event.extras?.agent_state === value.state"
        value = {"state": state, "after": after}
        await self.until(f"(held, value) => held.events.some(event => {wanted})", value, within)
        found = [
            event["id"] for event in (await self.held()).events if event["id"] > after and state_of(event) == state
        ]
        return int(found[0])

    async def until_connected(self, yes: bool = True, within: float = WITHIN) -> None:
        await self.until("(held, yes) => held.connected === yes", yes, within)

    async def held(self) -> PageEvents:
        value = await self.page.evaluate("window.held")
        visits = [(-1 if visit["after"] is None else visit["after"], visit["ids"]) for visit in value["visits"]]
        return PageEvents(
            value["events"], visits, value["ends"], value["refusals"], value["failed"], value["looks"], value["banners"]
        )

    async def count(self) -> int:
        """How many events the page holds."""
        return int(await self.page.evaluate("window.held.events.length"))

    async def ends(self) -> list[str]:
        """Why its connections ended."""
        return list(await self.page.evaluate("window.held.ends"))

    async def rows(self, **marks: str) -> list[str]:
        """What the user sees in the conversation; with marks, only of rows that bear them."""
        bearing = "".join(f"[data-{name}={value}]" for name, value in marks.items())
        return await self.page.locator(f"li{bearing}").all_inner_texts()


def check_delivery(log: Sequence[Event], held: PageEvents) -> None:
    """What a page holds at the end is the log as rule 2 shows it to such a client, each event once and in order."""
    assert [event["id"] for event in log] == list(range(len(log)))
    assert held.ids == sorted(set(held.ids)), "something came twice, or too late"
    assert list(held.events) == [without_own_keys(log[id]) for id in held.ids]
    stateless = [event["id"] for event in log if known_to_v0(event) and not state_of(event)]
    assert stateless == [event["id"] for event in held.events if not state_of(event)]
    newest = max((event["id"] for event in log if known_to_v0(event)), default=-1)
    assert held.ids[-1:] == [newest]
    for after, ids in held.visits:
        assert explains(log, ids, after=after, heads=range(max(after, 0), len(log))), (after, ids)


SETTINGS = {"OHS_LIMITS__MESSAGES_PER_SECOND": "1000", "OHS_LIMITS__MESSAGES_BURST": "1000"}


@dataclass(frozen=True)
class BrowserClients:
    """Those who visit one server. `clients` are beside the browser."""

    browser: BrowserContext
    server: Server
    model: ModelServer
    clients: Clients

    async def tab(self, url: str | None = None) -> Tab:
        """A new tab, on no page yet; `url` where it is to reach the server by another way."""
        return Tab(await self.browser.new_page(), url or self.server.url)

    async def check_delivery(self, sid: str, *tabs: Tab, within: float = WITHIN) -> None:
        """Wait until each tab has the newest event that is shown at all, then compare it with the log."""
        log = await self.clients.rest.events(sid)
        for tab in tabs:
            await tab.until_shown(log, within)
            check_delivery(log, await tab.held())


@asynccontextmanager
async def browser_clients(
    browser: BrowserContext,
    data_dir: Path,
    client_dir: Path,
    scripts: Mapping[str, Sequence[Answer]],
    *,
    server: Mapping[str, str] = SETTINGS,
    **settings: object,
) -> AsyncIterator[BrowserClients]:
    """A server with the configuration `server`, whose model plays these scripts. `settings` are stored as the user's
    own, beside the model."""
    served = {**server, "OHS_SERVER__CLIENT_DIR": str(client_dir)}
    async with (
        model_server(scripts, kept=100) as model,
        running_server(data_dir, served) as running,
        Clients(running.url) as clients,
    ):
        chosen = {"llm_model": f"openai/{MODEL}", "llm_base_url": model.url, "llm_api_key": "sk-loopback", **settings}
        status, answer = await clients.rest.ask("POST", "/api/settings", chosen)
        assert status == 200, answer
        yield BrowserClients(browser, running, model, clients)
        assert model.complaints == []
