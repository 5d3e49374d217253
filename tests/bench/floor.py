"""The floor: what python-socketio and aiohttp cost with nothing of ours. Prints its port, then serves until killed."""

import sys

import socketio
from aiohttp import web


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
    return app


if __name__ == "__main__":
    web.run_app(_application(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
