"""Socket.IO clients of a conversation, by protocol 2 and as V0: they keep and check what they get."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.support.event_summaries import Event, shared, shown, state_of
from tests.support.socket_connection import ConnectionCut, SocketConnection

ENVELOPE = {"id", "source", "message", "timestamp"}


@dataclass
class Visit:
    """One connection: from which id, and the ids that came over it."""

    after: int
    ids: list[int] = field(default_factory=list)
    hello: dict[str, Any] | None = None


@dataclass
class Stream:
    """The text of one thing that streams, as far as deltas told it."""

    offset: int
    text: str = ""
    restarts: int = 0


class Client:
    """One client of one conversation, over as many connections as it takes. `faults` says what the server did wrong."""

    def __init__(self, http: aiohttp.ClientSession, url: str, sid: str, *, key: str | None = None) -> None:
        self.url = url
        self.sid = sid
        self.events: list[Event] = []
        self.statuses: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.others: list[tuple[str, Any]] = []
        """`hello`, `resync` and `ended`, in order."""
        self.faults: list[str] = []
        self.visits: list[Visit] = []
        self.streams: dict[tuple[str, str], Stream] = {}
        self._http = http
        self._key = key
        self._news = asyncio.Event()
        self._wire: SocketConnection | None = None

    @property
    def last(self) -> int:
        """The last id received, -1 for none."""
        return self.events[-1]["id"] if self.events else -1

    @property
    def ids(self) -> list[int]:
        return [event["id"] for event in self.events]

    @property
    def connected(self) -> bool:
        return self._wire is not None and self._wire.alive

    @property
    def dismissed(self) -> bool:
        """Whether the last connection was ended by a Socket.IO disconnect, after which a client stays away."""
        return self._wire is not None and self._wire.disconnected

    async def connect(self, **more: Any) -> None:
        """Connect with the last id received. Raises Refused and Cut."""
        await self.leave()
        self._begin()
        self._wire = SocketConnection(self._http, self.take, self._wake)
        query, auth = self.asking(**more)
        await self._wire.connect(self.url, query, auth)

    def asking(self, **more: Any) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
        """The query and the `auth` payload of the next connection."""
        raise NotImplementedError

    async def leave(self) -> None:
        """End the connection, if any."""
        if self._wire is not None:
            await self._wire.close()

    async def vanish(self) -> None:
        """Be gone without a word."""
        if self._wire is not None:
            await self._wire.abandon()

    async def until(self, holds: Callable[[], bool], within: float = 60.0) -> None:
        """Wait until something holds that packets bring about. Raises TimeoutError, and Cut where the connection ends
        before."""
        try:
            async with asyncio.timeout(within):
                while not holds():
                    if not self.connected:
                        raise ConnectionCut("the connection was lost")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"not within {within:g} s; the last events: {shown(self.events[-8:])}") from None

    async def until_event(self, fits: Callable[[Event], bool], *, after: int = -1, within: float = 60.0) -> Event:
        """Wait for an event behind `after` that fits, and return the first such."""

        def found() -> Event | None:
            return next((event for event in self.events if event["id"] > after and fits(event)), None)

        await self.until(lambda: found() is not None, within)
        event = found()
        assert event is not None
        return event

    async def until_state(self, *states: str, after: int = -1, within: float = 60.0) -> Event:
        """Wait for the agent to come to one of these states."""
        return await self.until_event(lambda event: state_of(event) in states, after=after, within=within)

    async def until_id(self, event_id: int, within: float = 60.0) -> None:
        await self.until(lambda: self.last >= event_id, within)

    async def until_told(self, name: str, within: float = 60.0) -> Any:
        """Wait for a packet of this name that is no event, and return the newest such."""
        await self.until(lambda: any(told == name for told, _ in self.others), within)
        return next(value for told, value in reversed(self.others) if told == name)

    async def until_gone(self, within: float = 60.0) -> None:
        """Wait for the end of the connection."""
        try:
            async with asyncio.timeout(within):
                while self.connected:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"still there after {within:g} s; the last events: {shown(self.events[-8:])}") from None

    def take(self, name: str, value: Any) -> None:
        """One packet."""
        match name:
            case "oh_event" if "id" in value and ("action" in value or "observation" in value):
                self._take_event(value)
            case "oh_events":
                for event in value:
                    self._take_event(event)
            case "oh_event" if value.get("status_update"):
                self.statuses.append(value)
            case "oh_event":
                self.errors.append(value)
            case "oh_delta":
                self._take_delta(value)
            case _:
                self._take_other(name, value)
        self._wake()

    def _begin(self) -> None:
        self.visits.append(Visit(self.last))
        self.streams = {}

    def _take_event(self, event: Event) -> None:
        if not event.keys() >= ENVELOPE:
            self.faults.append(f"event {event.get('id')} lacks {ENVELOPE - event.keys()}")
        if event["id"] <= self.last:
            self.faults.append(f"event {event['id']} came behind event {self.last}")
        self.events.append(shared(event))
        self.visits[-1].ids.append(event["id"])

    def _take_delta(self, delta: dict[str, Any]) -> None:
        name = (delta["kind"], delta["key"])
        stream = self.streams.setdefault(name, Stream(delta["offset"]))
        if delta.get("restart"):
            stream.offset, stream.text, stream.restarts = 0, "", stream.restarts + 1
        if delta["offset"] != stream.offset + len(stream.text):
            self.faults.append(f"a delta of {name} at {delta['offset']}, not {stream.offset + len(stream.text)}")
        stream.text += delta["text"]

    def _take_other(self, name: str, value: Any) -> None:
        self.others.append((name, value))

    def _wake(self) -> None:
        self._news.set()

    @property
    def _open(self) -> SocketConnection:
        if self._wire is None:
            raise ConnectionCut("never connected")
        return self._wire


class Protocol2Client(Client):
    """Takes everything, and is acknowledged."""

    def asking(self, **more: Any) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
        auth = {"protocol": 2, "conversation_id": self.sid, "after": self.last, **more}
        return {}, (auth if self._key is None else {**auth, "session_api_key": self._key})

    async def command(self, action: str, *, key: str | None = None, **args: Any) -> dict[str, Any]:
        """Send a command; its acknowledgement. Raises Cut where it is not known whether it was taken."""
        wire: dict[str, Any] = {"action": action, "args": args}
        answer: dict[str, Any] = await self._open.call("oh_user_action", wire if key is None else {**wire, "key": key})
        return answer

    async def say(self, text: str, *, key: str | None = None) -> int:
        """Send a message; the id it was stored under."""
        return accepted(await self.command("message", content=text, key=key))

    async def order(self, state: str, *, key: str | None = None, **args: Any) -> int:
        """Ask for an agent state; the id of the echo."""
        return accepted(await self.command("change_agent_state", agent_state=state, key=key, **args))

    async def call(self, name: str, *values: object) -> Any:
        """Send anything, and return what is answered."""
        return await self._open.call(name, *values)

    async def send(self, value: object) -> None:
        """Send a command and wait for no answer."""
        await self._open.emit("oh_user_action", value)

    def _take_event(self, event: Event) -> None:
        if event["id"] > self.last + 1:
            self.faults.append(f"event {event['id']} came behind event {self.last}: a gap")
        super()._take_event(event)

    def _take_other(self, name: str, value: Any) -> None:
        super()._take_other(name, value)
        match name:
            case "hello":
                self.visits[-1].hello = value
            case "resync" if value["reason"] != "slow_consumer":
                self.events = [event for event in self.events if event["id"] <= value["after"]]


class V0Client(Client):
    """Asks as the web client does: all in the query, no `auth`, no acknowledgement."""

    def asking(self, **more: Any) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
        query = {
            "latest_event_id": self.last,
            "conversation_id": self.sid,
            "providers_set": "",
            "session_api_key": self._key or "null",
        }
        return {**query, **more}, None

    async def send(self, *values: object, name: str = "oh_user_action") -> None:
        await self._open.emit(name, *values)

    async def say(self, text: str) -> None:
        stamp = "2026-11-20T21:32:00.246Z"
        await self.send({"action": "message", "args": {"content": text, "image_urls": [], "timestamp": stamp}})

    async def order(self, state: str) -> None:
        await self.send({"action": "change_agent_state", "args": {"agent_state": state}})


def accepted(answer: Mapping[str, Any]) -> int:
    """The id in an acknowledgement that says yes."""
    assert answer.get("ok") is True, answer
    event: int = answer["id"]
    return event
