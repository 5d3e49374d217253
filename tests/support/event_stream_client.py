"""A client that follows a conversation by server-sent events, and comes back as a browser does."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of a stream; `name` is empty for a comment."""

    name: str
    data: Any = None
    id: int | None = None


class EventStreamClient:
    """`frames` has all that came over all of its connections."""

    def __init__(self, http: aiohttp.ClientSession, url: str, sid: str) -> None:
        self._http = http
        self._address = f"{url}/api/conversations/{sid}/events/stream"
        self.frames: list[Frame] = []
        self.connected = asyncio.Event()
        """Set once a connection was answered; to be cleared by whoever waits for the next one."""

    @property
    def events(self) -> list[dict[str, Any]]:
        return [frame.data for frame in self.frames if frame.id is not None]

    @property
    def last(self) -> int:
        return max((frame.id for frame in self.frames if frame.id is not None), default=-1)

    @property
    def ended(self) -> str | None:
        """The reason of the stream's end, if it has one."""
        frame = self.frames[-1]
        return frame.data["reason"] if frame.name == "ended" else None

    async def until(self, found: Callable[[Frame], bool] | None = None, **query: int) -> None:
        """Connect and read to a frame that `found` is true of, or to the end. Comes back with the last id where there
        is one."""
        headers = {"Last-Event-ID": str(self.last)} if self.last >= 0 else {}
        asked = {name: str(value) for name, value in query.items()}
        async with asyncio.timeout(PATIENCE), self._http.get(self._address, headers=headers, params=asked) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.content_type == "text/event-stream"
            self.connected.set()
            async for frame in _frames(answer.content):
                self.frames.append(frame)
                if found is not None and found(frame):
                    return


async def _frames(content: aiohttp.StreamReader) -> AsyncIterator[Frame]:
    fields: dict[str, str] = {}
    async for line in _lines(content):
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        else:
            number = fields.get("id")
            data = json.loads(fields["data"]) if "data" in fields else None
            yield Frame(fields.get("event", ""), data, None if number is None else int(number))
            fields = {}


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[str]:
    """Whole lines, however long."""
    rest = b""
    async for piece in content.iter_any():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode()
