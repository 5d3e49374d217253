"""An OpenTelemetry collector's stand-in: takes OTLP over HTTP on loopback, and decodes it."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.loopback_site import loopback_site

PATIENCE = 30.0


@dataclass(frozen=True)
class Received:
    """One span, its ids as W3C Trace Context writes them."""

    name: str
    trace: str
    id: str
    parent: str
    failed: bool
    seconds: float
    about: dict[str, Any]


class TraceCollector:
    """While it runs. `status` is what it answers; `bodies` are what has come, decoded or not."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.spans: list[Received] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self._news = asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.headers.append(dict(request.headers))
        if self.status == 200:
            body = gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body
            self.bodies.append(body)
            asked = ExportTraceServiceRequest.FromString(body)
            self.spans += [
                _received(span)
                for resource in asked.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        self._news.set()
        return web.Response(status=self.status, content_type="application/x-protobuf")

    async def until(self, holds: Callable[[Sequence[Received]], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds(self.spans):
                self._news.clear()
                await self._news.wait()

    def named(self, name: str) -> list[Received]:
        return [span for span in self.spans if span.name == name]


def _received(span: Span) -> Received:
    def value(given: Any) -> Any:
        kind = given.WhichOneof("value")
        return getattr(given, kind)

    return Received(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        failed=span.status.code == 2,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        about={each.key: value(each.value) for each in span.attributes},
    )


@asynccontextmanager
async def trace_collector() -> AsyncIterator[TraceCollector]:
    """A collector on loopback for the length of the block."""
    collector = TraceCollector()
    async with loopback_site([web.post("/v1/traces", collector.take)]) as url:
        collector.url = f"{url}/v1/traces"
        yield collector
