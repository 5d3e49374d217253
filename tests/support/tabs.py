"""What a user does in a tab of the browser, and what the page in it holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Page
from playwright.async_api import TimeoutError as TooLate

from tests.support.rule2 import explains, known
from tests.support.seen import Event, shown, state_of

WITHIN = 20.0


@dataclass(frozen=True)
class Held:
    """The page's memory at one moment. Each visit is the cursor of a connection, and the ids that came over it."""

    events: Sequence[Event]
    visits: Sequence[tuple[int, Sequence[int]]]
    ends: Sequence[str]
    refusals: Sequence[dict[str, Any]]
    failed: int
    """Attempts to connect that came to nothing."""

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
        await self.until_id(max(event["id"] for event in log if known(event)), within)

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

    async def held(self) -> Held:
        value = await self.page.evaluate("window.held")
        visits = [(-1 if visit["after"] is None else visit["after"], visit["ids"]) for visit in value["visits"]]
        return Held(value["events"], visits, value["ends"], value["refusals"], value["failed"])

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


def check_repetition(log: Sequence[Event], held: Held) -> None:
    """What a page holds at the end is the log as rule 2 shows it to such a client, each event once and in order."""
    assert [event["id"] for event in log] == list(range(len(log)))
    assert held.ids == sorted(set(held.ids)), "something came twice, or too late"
    assert list(held.events) == [log[id] for id in held.ids]
    stateless = [event["id"] for event in log if known(event) and not state_of(event)]
    assert stateless == [event["id"] for event in held.events if not state_of(event)]
    newest = max((event["id"] for event in log if known(event)), default=-1)
    assert held.ids[-1:] == [newest]
    for after, ids in held.visits:
        assert explains(log, ids, after=after, heads=range(max(after, 0), len(log))), (after, ids)
