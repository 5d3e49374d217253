"""Clients that never authenticate: every way of holding a connection of a server that asks for a key. As a program,
`PORT NUMBER`: so many at once, until the end of the standard input; for each that the server ends, the next one comes.
It prints how many came."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.support.raw_connections import UPGRADE, WEBSOCKET, RawConnection, raw_connection

POLLING = "/socket.io/?EIO=4&transport=polling"
COME_AGAIN = 0.5
"""Seconds until the next one comes."""
DRIP = 0.2
"""Seconds between two bytes, or two packets, that say nothing."""
Kind = Callable[[RawConnection], Coroutine[Any, Any, None]]


async def silent(connection: RawConnection) -> None:
    pass


async def half_a_head(connection: RawConnection) -> None:
    connection.send(b"GET / HTTP/1.1\r\nHost: local")


async def dripping_head(connection: RawConnection) -> None:
    for byte in b"GET /" + b"x" * 1_000:
        connection.send(bytes([byte]))
        await asyncio.sleep(DRIP)


async def half_a_body(connection: RawConnection) -> None:
    connection.send(b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nsession_api_key=")


async def wrong_key(connection: RawConnection) -> None:
    connection.ask("/api/conversations", "X-Session-API-Key: wrong\r\n")
    await connection.until(b'"unauthorized"')


async def handshake_of_polling(connection: RawConnection) -> None:
    sid = await _polling(connection)
    connection.ask(f"{POLLING}&sid={sid}")  # stays open while there is nothing to say


async def upgrade_without_a_probe(connection: RawConnection) -> None:
    sid = await _polling(connection)
    connection.ask(f"{WEBSOCKET}&sid={sid}", UPGRADE)
    await connection.until(b"101 Switching")


async def half_a_websocket_handshake(connection: RawConnection) -> None:
    connection.send(f"GET {WEBSOCKET} HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}".encode())


async def websocket_without_connect(connection: RawConnection) -> None:
    connection.ask(WEBSOCKET, UPGRADE)
    await connection.until(b'"sid"')


async def websocket_that_pongs(connection: RawConnection) -> None:
    await websocket_without_connect(connection)
    for _ in range(1_000):
        connection.say("3")
        await asyncio.sleep(DRIP)


async def connect_with_a_wrong_key(connection: RawConnection) -> None:
    await websocket_without_connect(connection)
    connection.say("40" + json.dumps({"protocol": 2, "conversation_id": "any", "session_api_key": "wrong"}))
    await connection.until(b"44{")


async def _polling(connection: RawConnection) -> str:
    connection.ask(POLLING)
    await connection.until(b"}")
    return str(json.loads(connection.received.partition(b"\r\n\r\n0")[2])["sid"])


KINDS: Sequence[Kind] = (
    silent,
    half_a_head,
    dripping_head,
    half_a_body,
    wrong_key,
    handshake_of_polling,
    upgrade_without_a_probe,
    half_a_websocket_handshake,
    websocket_without_connect,
    websocket_that_pongs,
    connect_with_a_wrong_key,
)


async def stranger(port: int, kind: Kind) -> None:
    """One that comes, does as its kind does, and stays until the server ends it. Raises OSError."""
    connection = await raw_connection(port)
    doing, over = asyncio.create_task(kind(connection)), asyncio.create_task(connection.gone.wait())
    try:
        await asyncio.wait([doing, over], return_when=asyncio.FIRST_COMPLETED)
        if doing.done() and not isinstance(doing.exception(), ConnectionError):
            doing.result()
        await over
    finally:
        for task in (doing, over):
            task.cancel()
        await asyncio.wait([doing, over])
        connection.close()


@asynccontextmanager
async def flood(port: int, number: int) -> AsyncIterator[list[int]]:
    """The program, which leaves the processor of the test to the test. At the end of the block, the list has how many
    came."""
    words = (sys.executable, "-m", __name__, str(port), str(number))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe)
    came: list[int] = []
    try:
        yield came
    finally:
        told, _ = await process.communicate(b"")
    came.append(int(told))


async def _flood(port: int, number: int) -> int:
    came = 0

    async def come(kind: Kind) -> None:
        nonlocal came
        while True:
            came += 1
            with suppress(OSError):
                await stranger(port, kind)
            await asyncio.sleep(COME_AGAIN)

    coming = [asyncio.create_task(come(KINDS[place % len(KINDS)])) for place in range(number)]
    await asyncio.to_thread(sys.stdin.read)
    for task in coming:
        task.cancel()
    await asyncio.wait(coming)
    return came


if __name__ == "__main__":
    print(asyncio.run(_flood(*map(int, sys.argv[1:]))))
