"""Server-sent events, in chunks of any size and with bounded memory."""

from collections.abc import AsyncIterator

import pytest

from openhands_sessions.adapters.mcp.server_events import ServerEvent, read_events
from openhands_sessions.ports.programs import LONGEST_LINE, CutLine

STREAM = (
    ": a comment\r\n\r\n"
    "event: endpoint\r\ndata: /messages?x=1\r\n\r\n"
    "data:one\n\n"
    "id: 7\nretry: 10\ndata: two\ndata:  lines\n\n"
    "event: ping\n\n"
    "event: message\ndata: ü\n\n"
    "data: not ended"
).encode()
EVENTS = [
    ServerEvent("endpoint", "/messages?x=1"),
    ServerEvent("message", "one"),
    ServerEvent("message", "two\n lines"),
    ServerEvent("message", "ü"),
]


async def chunks(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize("size", [1, 3, 10_000])
async def test_events_are_read_however_they_are_cut(size: int) -> None:
    assert [event async for event in read_events(chunks(STREAM, size))] == EVENTS


@pytest.mark.parametrize("lines", [1, 2])
async def test_of_data_that_is_too_long_the_ends_are_known_and_the_next_event_is_read(lines: int) -> None:
    data = b"data: {<" + b"x" * (LONGEST_LINE + 1000) + b">}\n"
    if lines == 2:
        data = b"data: {<" + b"x" * (LONGEST_LINE - 1000) + b"\ndata: " + b"x" * 3000 + b">}\n"
    long, after = [event async for event in read_events(chunks(data + b"\ndata: next\n\n", 64 << 10))]
    assert isinstance(long.data, CutLine)
    assert long.data.head.startswith("{<xxx")
    assert len(long.data.head) + len(long.data.tail) < 2000
    assert after == ServerEvent("message", "next")


async def test_data_up_to_the_limit_is_whole() -> None:
    data = b"x" * LONGEST_LINE
    [event] = [event async for event in read_events(chunks(b"data: " + data + b"\r\n\r\n", 64 << 10))]
    assert event == ServerEvent("message", data.decode())
