"""A user's conversation in a real browser, with the real Socket.IO client."""

import asyncio
from pathlib import Path

from playwright.async_api import BrowserContext

from tests.support.browser_tabs import browser_clients
from tests.support.model_replies import Call, Reply
from tests.support.proxy import proxy

LOOKS = Reply(
    text="First I look at what is there.", calls=[Call(name="execute_bash", arguments={"command": "echo there it is"})]
)
FINISHES = Reply(calls=[Call(name="finish", arguments={"message": "Now it is done."})])
AWAITING = "awaiting_confirmation"


async def test_a_conversation_is_begun_followed_live_and_finished(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    gate = asyncio.Event()
    waits = Reply(calls=FINISHES.calls, gate=gate)
    async with browser_clients(browser, data_dir, client_dir, {"look": [LOOKS, waits]}) as visitors:
        tab = await visitors.tab()
        sid = await tab.begin()
        await tab.until_state("awaiting_user_input")
        await tab.say("please look [[look]]")
        await visitors.model.asked(2)
        await tab.until("held => held.events.at(-1)?.observation === 'run'")
        assert await tab.rows(source="user") == ["please look [[look]]"]
        assert len(await tab.rows(kind="run")) == 2

        gate.set()
        await tab.until_state("finished")
        assert (await tab.rows(kind="finish")) == ["Now it is done."]
        await tab.until("held => held.conversation.title === 'A made title'")
        await visitors.check_delivery(sid, tab)
        assert len((await tab.held()).visits) == 1


async def test_a_first_message_is_shown_once_in_two_tabs_and_after_a_reload(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    async with browser_clients(browser, data_dir, client_dir, {"look": [LOOKS, FINISHES]}) as visitors:
        first, second = await visitors.tab(), await visitors.tab()
        sid = await first.begin("please look [[look]]")
        await second.visit(sid)
        for tab in (first, second):
            await tab.until_state("finished")
            assert await tab.rows(source="user", kind="message") == ["please look [[look]]"]
            assert len(await tab.rows(kind="finish")) == 1
        await first.say("thanks [[look]]")
        for tab in (first, second):
            await tab.until("held => held.events.filter(event => event.action === 'finish').length === 2")
        await second.page.reload()
        await visitors.check_delivery(sid, first, second)
        assert await second.rows() != []
        assert [(visit[0]) for visit in (await second.held()).visits] == [-1]


async def test_a_question_is_there_once_after_a_drop_and_can_be_answered(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    scripts = {"look": [LOOKS, FINISHES]}
    async with (
        browser_clients(browser, data_dir, client_dir, scripts, confirmation_mode=True) as visitors,
        proxy(visitors.server.port) as between,
    ):
        tab = await visitors.tab(between.url)
        sid = await tab.begin("please look [[look]]")
        await tab.until_state("awaiting_user_confirmation")
        between.cut()
        await tab.until("held => held.visits.length > 1 && held.connected")
        assert len(await tab.rows(confirmation=AWAITING)) == 1
        await tab.press("Confirm")
        await tab.until_state("finished")
        assert len(await tab.rows(confirmation=AWAITING)) == 1
        await visitors.check_delivery(sid, tab)


async def test_pausing_stops_what_runs_and_continue_goes_on(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    sleeps = Reply(calls=[Call(name="execute_bash", arguments={"command": "echo begun; sleep 60"})])
    scripts = {"sleep": [sleeps], "continue": [FINISHES]}
    async with browser_clients(browser, data_dir, client_dir, scripts) as visitors:
        tab = await visitors.tab()
        sid = await tab.begin("please sleep [[sleep]]")
        await tab.until("held => held.events.some(event => event.action === 'run')")
        await tab.press("Pause")
        stopped = await tab.until_state("stopped", within=5)
        await tab.say("continue [[continue]]")
        await tab.until_state("finished", after=stopped)
        await visitors.check_delivery(sid, tab)
