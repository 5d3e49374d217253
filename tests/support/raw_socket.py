"""A websocket that sends any text and returns what comes back as text."""

import json
from collections.abc import Mapping
from urllib.parse import urlencode

import aiohttp

from tests.support.socket_connection import ConnectionCut

_FIRST_PROBE = 10**6
"""Above the numbers that tests give to their own packets."""


class RawSocket:
    """Speaks just enough of engine.io to be let in. Whoever makes one closes it."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._probes = _FIRST_PROBE

    async def open(self, query: Mapping[str, str] | None = None) -> None:
        """The handshake of engine.io. Raises Cut with the status where it is refused."""
        asked = urlencode({"EIO": "4", "transport": "websocket", **(query or {})})
        try:
            self._socket = await self._http.ws_connect(f"{self._url}/socket.io/?{asked}", max_msg_size=0)
        except aiohttp.WSServerHandshakeError as refusal:
            raise ConnectionCut(refusal.status) from refusal
        await self.next()

    async def connect(self, auth: str = "") -> str:
        """Connect to the namespace `/`; the packet that answers, which begins with `40` or `44`."""
        await self.send(f"40{auth}")
        while not (text := await self.next()).startswith(("40", "44")):
            pass
        return text

    async def send(self, frame: str | bytes) -> None:
        """Raises Cut."""
        try:
            if isinstance(frame, str):
                await self._open.send_str(frame)
            else:
                await self._open.send_bytes(frame)
        except (ConnectionError, aiohttp.ClientError) as error:
            raise ConnectionCut(repr(error)) from error

    async def next(self) -> str:
        """The next frame; pings are answered on the way. Raises Cut at the end of the connection."""
        while True:
            message = await self._open.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise ConnectionCut(f"{message.type.name} {message.data!r} {message.extra!r}")
            if message.data != "2":
                return str(message.data)
            await self._open.send_str("3")

    async def answers(self) -> list[str]:
        """All that the server sends before it answers to one packet more: what came before that was in answer to what
        was sent before. Raises Cut."""
        self._probes += 1
        await self.send(f'42{self._probes}["probe",0]')
        heard: list[str] = []
        while not (text := await self.next()).startswith(f"43{self._probes}["):
            heard.append(text)
        assert json.loads(text.partition("[")[2].removesuffix("]"))["ok"] is False
        return heard

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    @property
    def _open(self) -> aiohttp.ClientWebSocketResponse:
        assert self._socket is not None, "never opened"
        return self._socket
