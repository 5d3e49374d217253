"""A connection that is silent for longer than its pings allow is ended."""

import asyncio
from typing import cast

from openhands_sessions.server.sockets.websocket import Silence


class Transport:
    """Notes that it was aborted."""

    def __init__(self) -> None:
        self.aborted = asyncio.Event()

    def abort(self) -> None:
        self.aborted.set()


def silence(seconds: float, transport: Transport) -> Silence:
    return Silence(seconds, cast("asyncio.WriteTransport", transport))


async def test_a_client_that_never_speaks_is_cut() -> None:
    transport = Transport()
    with silence(0.01, transport):
        await asyncio.wait_for(transport.aborted.wait(), 10)


async def test_a_client_whose_packet_is_handled_is_not_silent_meanwhile() -> None:
    heard, longer = Transport(), Transport()
    with silence(0.01, heard) as speaking, silence(0.05, longer):
        speaking.suspend()
        await asyncio.wait_for(longer.aborted.wait(), 10)
        assert not heard.aborted.is_set()
        speaking.begin()
        await asyncio.wait_for(heard.aborted.wait(), 10)


async def test_a_connection_that_has_ended_is_watched_no_longer() -> None:
    gone, longer = Transport(), Transport()
    with silence(0.01, gone):
        pass
    with silence(0.05, longer):
        await asyncio.wait_for(longer.aborted.wait(), 10)
    assert not gone.aborted.is_set()
