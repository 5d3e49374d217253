"""The socket server: handshakes, owners' terms, concurrent requests."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hmac
import os
from pathlib import Path
from typing import Callable

from .frames import VERSION, BadFrame, Message, RequestRefused, Send, encode, optional_int, read_frame
from .requests import RequestHandlers

TERM_FILE = "term"
_REQUESTS_AT_ONCE = 128
_HELLO_SECONDS = 10.0
_HELLO_BYTES = 4096


class OwnerTerms:
    """The highest owner's term ever seen, on disk. The server may raise it there before this executor listens, so the
    file is read again at each handshake."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / TERM_FILE
        self.highest = -1

    def admit(self, term: int) -> bool:
        """Whether no owner of a higher term has come. A new highest term is durable when it returns. Raises OSError."""
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.highest = max(self.highest, self._stored())
            if term > self.highest:
                self._store(term)
                self.highest = term
        return term == self.highest

    def _stored(self) -> int:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self._path.read_text())
        return -1

    def _store(self, term: int) -> None:
        temporary = self._path.with_suffix(".new")
        with temporary.open("w") as file:
            file.write(str(term))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._path)


class SocketServer:
    """Serves owners. A connection begins with a hello with the owner's term: one lower than the highest seen is
    refused, a higher one ends the older owners' connections. A client without a term may only shut the executor down.
    Where there is a secret, a hello without it is refused before anything else is read."""

    def __init__(self, requests: RequestHandlers, terms: OwnerTerms, secret: str = "") -> None:
        self.requests = requests
        self.terms = terms
        self._secret = secret.encode()
        self.on_change: Callable[[], None] = lambda: None
        self.on_shutdown: Callable[[], None] = lambda: None
        self._connections: dict[_Connection, asyncio.Task[None]] = {}

    @property
    def idle(self) -> bool:
        return not self._connections

    def authenticates(self, hello: Message) -> bool:
        """Whether the secret is right; takes constant time."""
        secret = hello.get("secret", "")
        return hmac.compare_digest(secret.encode("utf-8", "replace") if isinstance(secret, str) else b"", self._secret)

    def admits(self, term: int) -> bool:
        """Whether the owner of this term may act. Raises RequestRefused where the term cannot be made durable."""
        try:
            return self.terms.admit(term)
        except OSError as error:
            raise RequestRefused(
                "storage", f"the sandbox's disk refuses to note who owns it: {error.strerror}"
            ) from error

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its hello to its end."""
        connection = _Connection(self, reader, writer)
        task = asyncio.current_task()
        if task is None:
            return
        self._connections[connection] = task
        self.on_change()
        try:
            await connection.run()
        except asyncio.CancelledError:
            pass  # by `cut_older` or `close`
        finally:
            del self._connections[connection]
            writer.close()
            self.on_change()

    def cut_older(self, term: int) -> None:
        for connection, task in self._connections.items():
            if connection.term is not None and connection.term < term:
                task.cancel()

    async def close(self) -> None:
        tasks = list(self._connections.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Connection:
    """One client. Requests run concurrently, each in a task that ends with the connection at the latest; the action
    that it started goes on."""

    def __init__(self, server: SocketServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.term: int | None = None
        self._server = server
        self._reader = reader
        self._writer = writer
        self._input_writer = asyncio.Lock()
        self._requests: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        try:
            await self._handshake()
            while True:
                message = await read_frame(self._reader)
                if message is None:
                    return
                self._take(message)
        except (BadFrame, ConnectionError):
            return
        finally:
            tasks = list(self._requests.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _handshake(self) -> None:
        try:
            hello = await asyncio.wait_for(read_frame(self._reader, _HELLO_BYTES), _HELLO_SECONDS)
        except asyncio.TimeoutError:
            hello = None
        if hello is None:
            raise ConnectionResetError
        try:
            if not self._server.authenticates(hello):
                raise RequestRefused("unauthorized", "the secret is another one")
            if hello.get("op") != "hello" or hello.get("version") != VERSION:
                raise RequestRefused("bad_version", f"this executor speaks version {VERSION}")
            self.term = optional_int(hello, "term")
            if self.term is not None and not self._server.admits(self.term):
                raise RequestRefused("fenced", "a newer owner has come")
        except RequestRefused as refusal:
            await self._send({"error": refusal.code, "message": refusal.message})
            raise ConnectionResetError from refusal
        if self.term is not None:
            self._server.cut_older(self.term)
        await self._send({"version": VERSION, "pid": os.getpid()})

    def _take(self, message: Message) -> None:
        number = message.get("id")
        if not isinstance(number, int) or number in self._requests:
            raise BadFrame("a request needs an id of its own")
        if message.get("op") == "release":
            self._release(message)
            return
        task = asyncio.get_event_loop().create_task(self._answer(number, message))
        self._requests[number] = task
        task.add_done_callback(lambda _: self._answered(number, task))

    def _answered(self, number: int, task: asyncio.Task[None]) -> None:
        del self._requests[number]
        if not task.cancelled() and task.exception() is not None:  # our bug: closing ends the wait for an answer
            context = {"message": "a request failed", "exception": task.exception()}
            asyncio.get_event_loop().call_exception_handler(context)
            self._writer.close()

    def _release(self, message: Message) -> None:
        released = self._requests.get(message["of"]) if isinstance(message.get("of"), int) else None
        if released is not None:
            released.cancel()

    async def _answer(self, number: int, message: Message) -> None:
        async def send(piece: Message) -> None:
            await self._send({"id": number, **piece})

        with contextlib.suppress(ConnectionError):
            try:
                answer = await self._carry_out(message, send)
            except RequestRefused as refusal:
                answer = {"error": refusal.code, "message": refusal.message}
            await send(answer)

    async def _carry_out(self, message: Message, send: Send) -> Message:
        if message.get("op") == "shutdown":
            self._server.on_shutdown()
            return {}
        if self.term is None or self.term < self._server.terms.highest:
            raise RequestRefused("fenced", "a newer owner has come")
        if len(self._requests) > _REQUESTS_AT_ONCE:
            raise RequestRefused("busy", "too many requests at once")
        return await self._server.requests.answer(message, send)

    async def _send(self, message: Message) -> None:
        async with self._input_writer:  # in older Pythons only one task may await drain()
            self._writer.write(encode(message))
            await self._writer.drain()
