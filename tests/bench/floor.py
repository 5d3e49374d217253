"""A server to compare with: plain python-socketio on aiohttp, and at `/raw` bare websocket frames of aiohttp.

Serves on the port it is given until it is killed."""

import sys

import socketio
from aiohttp import WSMsgType, web


async def _application() -> web.Application:
    sio = socketio.AsyncServer(async_mode="aiohttp", async_handlers=False)
    app = web.Application()
    sio.attach(app)

    async def echo(sid: str, data: object) -> None:
        await sio.emit("echo", data, to=sid)

    async def flood(sid: str, count: int) -> None:
        for number in range(count):
            await sio.emit("oh_event", {"id": number, "text": "x" * 1_000}, to=sid)

    async def join(sid: str, data: object) -> None:
        await sio.enter_room(sid, "all")

    async def tell(sid: str, data: object) -> None:
        await sio.emit("oh_event", data, room="all")

    for handler in (echo, flood, join, tell):
        sio.on(handler.__name__, handler)
    app.add_routes([web.get("/raw/echo", _echo), web.get("/raw/all", _all)])
    app[CROWD] = set()
    return app


CROWD = web.AppKey("crowd", set[web.WebSocketResponse])


async def _echo(request: web.Request) -> web.WebSocketResponse:
    socket = await _opened(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
    return socket


async def _all(request: web.Request) -> web.WebSocketResponse:
    """Sends every message to every client of this address."""
    socket = await _opened(request)
    crowd = request.app[CROWD]
    crowd.add(socket)
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                for other in crowd:
                    await other.send_str(message.data)
    finally:
        crowd.discard(socket)
    return socket


async def _opened(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str("hello")
    return socket


if __name__ == "__main__":
    web.run_app(_application(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
