"""The real client loses its connection at random times: it shows everything once, and in order."""

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest
from playwright.async_api import BrowserContext

from tests.support.browser_tabs import Tab, browser_clients
from tests.support.cut_connections import GREETING_BYTES, busy_scripts, keep_talking
from tests.support.proxy import Proxy, proxy
from tests.support.seeds import printed_seed

TURNS, STEPS = 7, 5
WITHIN = 60.0
"""Seconds for what takes one: a client waits up to five before it tries again, and four tabs share the processor."""
CHAOS = os.environ.get("CHAOS") == "ci"


async def test_a_page_shows_everything_once_though_its_connection_drops(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    await drop_and_compare(browser, data_dir, client_dir, tabs=2, drops=3)


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_pages_show_everything_once_though_their_connections_drop_two_hundred_times(
    browser: BrowserContext, data_dir: Path, client_dir: Path
) -> None:
    await drop_and_compare(browser, data_dir, client_dir, tabs=4, drops=8 if CHAOS else 50)


async def drop_and_compare(browser: BrowserContext, data_dir: Path, client_dir: Path, *, tabs: int, drops: int) -> None:
    """`drops` is how often each tab loses its connection at least."""
    rng = Random(printed_seed())
    scripts = busy_scripts(TURNS, STEPS)
    async with (
        browser_clients(browser, data_dir, client_dir, scripts, condenser_max_size=10_000) as visitors,
        AsyncExitStack() as stack,
    ):
        boss = visitors.clients.protocol2(await visitors.clients.rest.create())
        await boss.connect()
        dropping, opened = [], []
        for _ in range(tabs):
            between = await stack.enter_async_context(proxy(visitors.server.port))
            tab = await visitors.tab(between.url)
            await tab.visit(boss.sid)
            opened.append(tab)
            dropping.append(drop(tab, between, Random(rng.random()), drops))
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            talking = group.create_task(keep_talking(boss, TURNS, enough))
            await asyncio.gather(*dropping)
            enough.set()
            await talking
        await visitors.check_delivery(boss.sid, *opened, within=WITHIN)
        all_drops = sum([(await tab.held()).drops for tab in opened])
        print(f"{all_drops} drops, {boss.last + 1} events")
        assert all_drops >= tabs * drops


async def drop(tab: Tab, between: Proxy, rng: Random, times: int) -> None:
    """Break a tab's connection so many times: behind so many events, or in the middle of what a reconnect brings."""
    for _ in range(times):
        # Counted first: a cut that was set up earlier may come at any time from here on, and leave nothing to break.
        ends = len(await tab.ends())
        await tab.until_connected(within=WITHIN)
        await tab.until("(held, count) => held.events.length >= count", await tab.count() + rng.randint(0, 12), WITHIN)
        if rng.random() < 0.3:
            between.cut_after(rng.randint(GREETING_BYTES, 20_000))
        between.cut()
        await tab.until("(held, ends) => held.ends.length > ends", ends, WITHIN)
