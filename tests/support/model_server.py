"""A real HTTP server that speaks the OpenAI chat-completions protocol: the far side of every model test.

By itself: `python -m tests.support.model_server --port 8123 --echo` or `--script FILE.yaml`.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web

from openhands_sessions.adapters.agents.model_agent import TITLE_PROMPT
from tests.support.model_faults import begin_stream, commit, sse
from tests.support.model_replies import Answer, Fault, Reply, Tokens, stream_chunks, whole_reply
from tests.support.model_scripts import Attempts, Script, ScriptRanOut, by_marker, echo, in_order, read_scripts

MODEL = "test-model"
SCRIPT_RAN_OUT = 418
"""An answer that nobody retries."""
_BIGGEST_REQUEST = 256 << 20
_GRACE = 0.05
"""Seconds that open answers get when the server is stopped."""

Scripted = Script | Sequence[Answer] | Mapping[str, Sequence[Answer]]


@dataclass(kw_only=True)
class Asked:
    """One request: what was sent, and how it ended. Times are `time.monotonic()`."""

    headers: Mapping[str, str]
    body: Mapping[str, Any]
    arrived: float = field(default_factory=time.monotonic)
    streaming: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with the first piece of the answer."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    ended_at: float | None = None
    closed_by_client: bool = False
    billed: Tokens | None = None
    """What the answer has told of its usage so far."""

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        messages: Sequence[Mapping[str, Any]] = self.body["messages"]
        return messages


class ModelServer:
    """The server while it runs. `requests` is the record, with the bodies of the newest `kept` (of all, where it is
    None): a long conversation is sent whole each time. `complaints` says what a test asked too much of."""

    def __init__(self, script: Scripted, kept: int | None = None) -> None:
        self._kept = kept
        self.url = ""
        self.requests: list[Asked] = []
        self.complaints: list[str] = []
        self.title = "A made title"
        """What a conversation is to be called; who asks for it does not count among `requests`."""
        self.titles: list[Asked] = []
        self._arrived = asyncio.Event()
        self.play(script)

    def play(self, script: Scripted) -> None:
        """Answer by this script from now on: a list, a mapping of named scripts, or a function of the request."""
        self._attempts = Attempts()
        self._choose = _script(script)

    async def asked(self, count: int) -> Asked:
        """Wait for the request with this number (from 1) and return it."""
        while len(self.requests) < count:
            self._arrived.clear()
            await self._arrived.wait()
        return self.requests[count - 1]

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/chat/completions`."""
        asked = Asked(headers=dict(request.headers), body=await request.json())
        if asked.messages[0].get("content") == TITLE_PROMPT:
            self.titles.append(asked)
            return await self._stream(request, asked, Reply(text=self.title), {"id": "chatcmpl-title", "model": MODEL})
        self.requests.append(asked)
        if self._kept is not None and len(self.requests) > self._kept:
            self.requests[-1 - self._kept].body = {"messages": ()}
        self._arrived.set()
        try:
            return await self._answer(request, asked)
        except asyncio.CancelledError:
            asked.closed_by_client = True
            raise
        except ConnectionError:
            asked.closed_by_client = True
            return web.Response()
        finally:
            asked.ended_at = time.monotonic()
            asked.ended.set()

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/models`."""
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "tests"}]})

    async def _answer(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        try:
            answer = self._attempts.choose(self._choose(asked.body), asked.body)
        except ScriptRanOut as problem:
            self.complaints.append(str(problem))
            return web.json_response({"error": {"message": str(problem)}}, status=SCRIPT_RAN_OUT)
        name = {"id": f"chatcmpl-{uuid4().hex[:12]}", "model": str(asked.body.get("model", MODEL))}
        if isinstance(answer, Fault):
            told = Reply(text="This is only the ", usage=answer.usage, counts=answer.usage is not None)
            asked.billed = answer.usage
            return await commit(answer, request, list(stream_chunks(told, include_usage=False, **name))[:-1])
        if not asked.body.get("stream"):
            await _wait_at(answer, answer.gate_after)
            return web.json_response(whole_reply(answer, **name))
        return await self._stream(request, asked, answer, name)

    async def _stream(
        self, request: web.Request, asked: Asked, reply: Reply, name: Mapping[str, str]
    ) -> web.StreamResponse:
        options = asked.body.get("stream_options") or {}
        response = await begin_stream(request)
        chunks = stream_chunks(reply, include_usage=bool(options.get("include_usage")), **name)
        for number, chunk in enumerate(chunks):
            await _wait_at(reply, number)
            asked.billed = reply.usage if "usage" in chunk else asked.billed
            await response.write(sse(chunk))
            asked.streaming.set()
            if reply.delay:
                await asyncio.sleep(reply.delay)
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


@asynccontextmanager
async def model_server(
    script: Scripted = echo, *, port: int = 0, kept: int | None = None
) -> AsyncIterator[ModelServer]:
    """Run a server on loopback for the length of the block; port 0 takes a free one."""
    server = ModelServer(script, kept)
    app = web.Application(client_max_size=_BIGGEST_REQUEST)
    app.router.add_post("/v1/chat/completions", server.complete)
    app.router.add_get("/v1/models", server.list_models)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_GRACE)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield server
    finally:
        await runner.cleanup()


def _script(script: Scripted) -> Callable[[Mapping[str, Any]], Answer]:
    if isinstance(script, Mapping):
        return by_marker(script)
    return in_order(script) if isinstance(script, Sequence) else script


async def _wait_at(reply: Reply, number: int) -> None:
    if reply.gate is not None and number == reply.gate_after:
        await reply.gate.wait()


async def _serve(port: int, script: Scripted) -> None:
    async with model_server(script, port=port) as server:
        print(json.dumps({"url": server.url, "model": f"openai/{MODEL}"}), flush=True)
        await asyncio.Event().wait()


def main(arguments: Sequence[str]) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="model_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--script", type=Path)
    how.add_argument("--echo", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        asyncio.run(_serve(chosen.port, read_scripts(chosen.script) if chosen.script else echo))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main(sys.argv[1:])
