"""A Socket.IO client of the list of its caller's conversations, which keeps and checks what it gets."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from tests.support.socket_connection import ConnectionCut, SocketConnection

Row = dict[str, Any]


class ListClient:
    """`faults` says what the server did wrong: a number that does not follow the one before it."""

    def __init__(self, http: aiohttp.ClientSession, url: str, *, key: str | None = None) -> None:
        self.url = url
        self.rows: dict[str, Row] = {}
        self.snapshots: list[dict[str, Any]] = []
        self.changes: list[dict[str, Any]] = []
        """Since the newest snapshot."""
        self.ended: list[str] = []
        self.faults: list[str] = []
        self._http = http
        self._key = key
        self._last: int | None = None
        self._news = asyncio.Event()
        self._wire: SocketConnection | None = None

    @property
    def dismissed(self) -> bool:
        """Whether the last connection was ended by a Socket.IO disconnect, after which a client stays away."""
        return self._wire is not None and self._wire.disconnected

    async def connect(self, **more: Any) -> None:
        """Connect; the first snapshot is not waited for. Raises Refused and Cut."""
        await self.leave()
        self._last = None
        self._wire = SocketConnection(self._http, self._take, self._news.set)
        key = {} if self._key is None else {"session_api_key": self._key}
        await self._wire.connect(self.url, {}, {"protocol": 2, **key, **more})

    async def leave(self) -> None:
        if self._wire is not None:
            await self._wire.close()

    async def call(self, name: str, *values: object) -> Mapping[str, Any]:
        """Send anything, and return what is answered."""
        assert self._wire is not None
        answer: Mapping[str, Any] = await self._wire.call(name, *values)
        return answer

    async def until(self, holds: Callable[[], bool], within: float = 60.0) -> None:
        """Wait until something holds that packets bring about. Raises Cut where the connection ends before."""
        try:
            async with asyncio.timeout(within):
                while not holds():
                    if self._wire is None or not self._wire.alive:
                        raise ConnectionCut("the connection was lost")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"not within {within:g} s; the last changes: {self.changes[-3:]}") from None

    async def until_snapshots(self, count: int) -> None:
        """Wait until so many snapshots have come."""
        await self.until(lambda: len(self.snapshots) >= count)

    async def until_row(self, sid: str, **shown: Any) -> Row:
        """Wait until the row of a conversation, or what it says of the session, has these values."""

        def found() -> bool:
            row = self.rows.get(sid)
            told = {} if row is None else {**row["session"], **row}
            return row is not None and all(told[name] == value for name, value in shown.items())

        await self.until(found)
        return self.rows[sid]

    async def until_gone(self, within: float = 60.0) -> None:
        """Wait for the end of the connection."""
        assert self._wire is not None
        async with asyncio.timeout(within):
            while self._wire.alive:
                self._news.clear()
                await self._news.wait()

    def _take(self, name: str, value: Any) -> None:
        match name:
            case "list":
                self._number(value)
                self.rows = {row["conversation_id"]: row for row in value["conversations"]}
                self.snapshots.append(value)
                self.changes = []
            case "list_change":
                self._number(value)
                self.changes.append(value)
                self.rows.pop(value["conversation_id"], None)
                if not value["removed"]:
                    self.rows[value["conversation_id"]] = value["conversation"]
            case "ended":
                self.ended.append(value["reason"])
        self._news.set()

    def _number(self, value: Mapping[str, Any]) -> None:
        if self._last is not None and value["number"] != self._last + 1:
            self.faults.append(f"number {value['number']} came behind {self._last}")
        self._last = value["number"]
