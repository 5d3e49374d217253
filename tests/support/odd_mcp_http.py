"""An MCP server over HTTP that answers calls oddly, by the name of the tool."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

LONGEST = 16 << 20
TOOLS = ("ping", "wait", "hang_up", "forget", "lose", "status", "no_json", "accepted", "too_long", "broken", "events")


class OddMcpHttp:
    """`calls` are those that came, by name, `keys` what they had for a key; `sessions` how often it was greeted."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.keys: list[str | None] = []
        self.sessions = 0
        self.released = asyncio.Event()
        self.url = ""
        self._no_session = _not_found
        self._odd = {
            "wait": self._wait,
            "hang_up": self._hang_up,
            "status": self._status,
            "no_json": self._no_json,
            "accepted": self._accepted,
            "too_long": self._too_long,
            "broken": self._broken,
            "events": self._events,
        }

    async def answer(self, request: web.Request) -> web.StreamResponse:
        message = await request.json() if request.method == "POST" else {}
        match message.get("method"):
            case "initialize":
                self.sessions += 1
                version = message["params"]["protocolVersion"]
                about = {"protocolVersion": version, "capabilities": {"tools": {}}}
                answer = _result(message["id"], {**about, "serverInfo": {"name": "odd", "version": "1"}})
                answer.headers["mcp-session-id"] = f"session-{self.sessions}"
                return answer
            case "tools/list":
                schema = {"type": "object", "properties": {}}
                tools = [{"name": name, "description": name, "inputSchema": schema} for name in TOOLS]
                return _result(message["id"], {"tools": tools})
            case "tools/call":
                return await self._called(request, message)
            case None if request.method == "GET":
                return web.Response(status=405)
            case _:
                return web.Response(status=202)

    async def _called(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        name = message["params"]["name"]
        if request.headers["mcp-session-id"] != f"session-{self.sessions}":
            return self._no_session()
        self.calls.append(name)
        self.keys.append(request.headers.get("Authorization"))
        if name in ("forget", "lose"):
            self.sessions += 1  # as if another client had been greeted since
            self._no_session = _bad_request if name == "forget" else _not_found
        if name in self._odd:
            return await self._odd[name](request, message)
        return _text(message["id"], name)

    async def _wait(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        await self.released.wait()
        return _text(message["id"], "waited")

    async def _hang_up(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _status(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=int(message["params"]["arguments"]["code"]))

    async def _no_json(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        return web.Response(text="<html>", content_type="text/html")

    async def _accepted(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=202)

    async def _too_long(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        return _text(message["id"], "x" * LONGEST)

    async def _broken(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        return web.Response(text='{"jsonrpc": "2.0", "id":', content_type="application/json")

    async def _events(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        """A stream of events that ends without the answer."""
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b": nothing\n\n")
        return answer


@asynccontextmanager
async def odd_mcp_http(port: int) -> AsyncIterator[OddMcpHttp]:
    odd = OddMcpHttp()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/mcp", odd.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    odd.url = f"http://127.0.0.1:{port}/mcp"
    try:
        yield odd
    finally:
        await runner.cleanup()


def _result(number: object, result: object) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": number, "result": result})


def _text(number: object, text: str) -> web.Response:
    return _result(number, {"content": [{"type": "text", "text": text}]})


def _not_found() -> web.Response:
    error = {"code": -32001, "message": "Session not found"}
    return web.json_response({"jsonrpc": "2.0", "id": None, "error": error}, status=404)


def _bad_request() -> web.Response:
    error = {"code": -32000, "message": "Bad Request: No valid session ID provided"}
    return web.json_response({"jsonrpc": "2.0", "id": None, "error": error}, status=400)
