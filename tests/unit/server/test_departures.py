"""The ends of many connections leave room for what else the server does."""

import asyncio
from functools import partial

from structlog.testing import capture_logs

from openhands_sessions.server.sockets.departures import TOGETHER, Departures


async def test_connections_end_in_order_a_few_in_each_turn_of_the_loop() -> None:
    departures = Departures()
    ended: list[int] = []
    for number in range(5 * TOGETHER):
        departures.add(partial(ended.append, number))
    seen = []
    while len(ended) < 5 * TOGETHER:
        await asyncio.sleep(0)
        seen.append(len(ended))
    assert ended == sorted(ended)
    assert all(later - earlier <= TOGETHER for earlier, later in zip([0, *seen], seen, strict=False))


async def test_a_connection_that_ends_later_ends_too() -> None:
    departures = Departures()
    for number in range(2):
        gone = asyncio.Event()
        departures.add(gone.set)
        async with asyncio.timeout(5):
            await gone.wait()
        assert gone.is_set(), number


async def test_one_that_ends_badly_holds_up_no_other() -> None:
    departures = Departures()
    gone = asyncio.Event()
    for end in (lambda: 1 / 0, gone.set):
        departures.add(end)
    with capture_logs() as lines:
        async with asyncio.timeout(5):
            await gone.wait()
    assert [line["event"] for line in lines] == ["a connection did not end well"]
