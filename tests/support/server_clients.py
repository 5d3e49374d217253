"""All clients of one server: REST, operators, and Socket.IO clients that leave when the test ends."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

import aiohttp

from tests.support.event_summaries import shared
from tests.support.list_client import ListClient
from tests.support.socket_clients import Client, Protocol2Client, V0Client
from tests.support.socket_connection import ConnectionCut, SocketConnection


class Rest:
    """A client of one server. `url` may be changed when the server is somewhere else."""

    def __init__(self, url: str, *, key: str | None = None) -> None:
        self.url = url
        headers = {} if key is None else {"X-Session-API-Key": key}
        self.http = aiohttp.ClientSession(headers=headers)

    async def __aenter__(self) -> "Rest":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()

    async def ask(self, method: str, path: str, body: object = None, **query: Any) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        asked = {name: str(value) for name, value in query.items()}
        async with self.http.request(method, f"{self.url}{path}", json=body, params=asked) as answer:
            return answer.status, await answer.json()

    async def create(self, message: str | None = None, **settings: Any) -> str:
        """Make a conversation; its id."""
        body = {"settings": settings} if message is None else {"settings": settings, "initial_user_msg": message}
        status, answer = await self.ask("POST", "/api/conversations", body)
        assert status == 200, answer
        sid: str = answer["conversation_id"]
        return sid

    async def describe(self, sid: str) -> dict[str, Any]:
        _, answer = await self.ask("GET", f"/api/conversations/{sid}")
        found: dict[str, Any] = answer
        return found

    async def head(self, sid: str) -> int:
        """The newest id."""
        head: int = (await self.describe(sid))["session"]["head"]
        return head

    async def events(self, sid: str, *, start: int = 0) -> list[dict[str, Any]]:
        """The whole log from an id on, page by page. Opens no session."""
        found: list[dict[str, Any]] = []
        more = True
        while more:
            status, page = await self.ask(
                "GET", f"/api/conversations/{sid}/events", start_id=start + len(found), limit=100
            )
            assert status == 200, page
            found += map(shared, page["events"])
            more = page["has_more"]
        return found

    async def delete(self, sid: str) -> bool:
        _, answer = await self.ask("DELETE", f"/api/conversations/{sid}")
        gone: bool = answer
        return gone


class Operator:
    """Watches all sessions."""

    def __init__(self, http: aiohttp.ClientSession, url: str, *, key: str | None = None) -> None:
        self.url = url
        self.overviews: list[dict[str, Any]] = []
        self.changes: list[dict[str, Any]] = []
        self.ended: str | None = None
        """The reason that the server gave for the end."""
        self._http = http
        self._key = key
        self._news = asyncio.Event()
        self._wire: SocketConnection | None = None

    async def connect(self) -> None:
        """Connect. Raises Refused and Cut."""
        await self.leave()
        self._wire = SocketConnection(self._http, self._take, self._news.set, "/operator")
        await self._wire.connect(self.url, {}, {} if self._key is None else {"session_api_key": self._key})

    async def leave(self) -> None:
        if self._wire is not None:
            await self._wire.close()

    async def call(self, name: str, *values: object) -> Any:
        """Send anything, and return what is answered."""
        assert self._wire is not None
        return await self._wire.call(name, *values)

    def states_of(self, sid: str) -> list[str]:
        """The lifecycle states of a session as they were told, repetitions left out."""
        told = [change["state"] for change in self.changes if change["conversation_id"] == sid]
        return [state for place, state in enumerate(told) if place == 0 or told[place - 1] != state]

    def state_of(self, sid: str) -> str | None:
        """The newest lifecycle state of a session; None where none was told."""
        told = [*(session for overview in self.overviews for session in overview["sessions"]), *self.changes]
        newest = max(
            (each for each in told if each["conversation_id"] == sid), key=lambda each: each["number"], default=None
        )
        return None if newest is None else str(newest["state"])

    async def news(self) -> None:
        """Wait for the next packet. Raises Cut."""
        assert self._wire is not None
        if not self._wire.alive:
            raise ConnectionCut("the connection was lost")
        self._news.clear()
        await self._news.wait()

    async def until(self, holds: Callable[[], bool], within: float = 60.0) -> None:
        async with asyncio.timeout(within):
            while not holds():
                await self.news()

    def _take(self, name: str, value: Any) -> None:
        if name == "sessions":
            self.overviews.append(value)
        elif name == "session":
            self.changes.append(value)
        elif name == "ended":
            self.ended = value["reason"]
        self._news.set()


class Clients:
    """Whoever visits one server. `rest` is its REST side."""

    def __init__(self, url: str, *, key: str | None = None) -> None:
        self.rest = Rest(url, key=key)
        self._url = url
        self._key = key
        self._clients: list[Client] = []
        self._operators: list[Operator] = []
        self._lists: list[ListClient] = []

    async def __aenter__(self) -> "Clients":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for client in self._clients:
                await client.leave()
            for operator in self._operators:
                await operator.leave()
            for each in self._lists:
                await each.leave()
        finally:
            await self.rest.http.close()

    def protocol2(self, sid: str, url: str | None = None) -> Protocol2Client:
        """A client by protocol 2, not connected yet."""
        client = Protocol2Client(self.rest.http, url or self._url, sid, key=self._key)
        self._clients.append(client)
        return client

    def v0(self, sid: str, url: str | None = None) -> V0Client:
        """A client as the web client is, not connected yet."""
        client = V0Client(self.rest.http, url or self._url, sid, key=self._key)
        self._clients.append(client)
        return client

    def list(self, url: str | None = None) -> ListClient:
        """A client of the caller's list, not connected yet."""
        client = ListClient(self.rest.http, url or self._url, key=self._key)
        self._lists.append(client)
        return client

    async def until_ready(self, *sids: str) -> None:
        """Wait until the sessions of these conversations are set up. A busy machine may take longer than `create`
        waits."""
        operator = self.operator()
        await operator.connect()
        await operator.until(lambda: all(operator.state_of(sid) == "Ready" for sid in sids))
        await operator.leave()

    def operator(self) -> Operator:
        """An operator, not connected yet."""
        operator = Operator(self.rest.http, self._url, key=self._key)
        self._operators.append(operator)
        return operator
