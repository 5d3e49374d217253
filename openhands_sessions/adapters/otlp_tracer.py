"""A Tracer that sends spans to an OpenTelemetry collector by OTLP over HTTP, from a thread of its own."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace import Tracer as OtelTracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from openhands_sessions.ports.tracing import Attributes, Span

log = structlog.get_logger(__name__)

MOST_WAITING = 4_096
"""Spans that wait for the collector; older ones are dropped for newer ones."""
AT_ONCE = 512
DELAY = 2_000
"""Milliseconds until a span is sent."""
TIMEOUT = 10.0
"""Seconds for one batch, with its repetitions."""
CLOSE_GRACE = 3.0
"""Seconds in which a closing server still delivers what waits."""


class OtlpSpan:
    """A Span."""

    def __init__(self, span: OtelSpan) -> None:
        self.span = span

    def set(self, attributes: Attributes) -> None:
        self.span.set_attributes(attributes)

    def end(self, failure: str | None = None) -> None:
        if failure is not None:
            self.span.set_attribute("error.type", failure)
            self.span.set_status(StatusCode.ERROR)
        self.span.end()


class OtlpTracer:
    """A Tracer."""

    def __init__(self, tracer: OtelTracer) -> None:
        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, name: str, attributes: Attributes, parent: Span | str | None) -> OtlpSpan:
        match parent:
            case OtlpSpan(span=span):
                kind, context = SpanKind.INTERNAL, set_span_in_context(span, Context())
            case str():
                kind, context = SpanKind.SERVER, self._propagator.extract({"traceparent": parent}, Context())
            case _:
                kind, context = SpanKind.SERVER, Context()
        return OtlpSpan(self._tracer.start_span(name, context, kind, attributes))


class _Delivery(SpanExporter):
    """Says once that spans are not delivered, and once that they are again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing:
            log.warning("traces are not delivered: the collector does not take them; sessions go on without")
        if self._failing and not failing:
            log.info("traces are delivered again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


@asynccontextmanager
async def open_tracer(endpoint: str, key: str | None, *, ratio: float, version: str) -> AsyncIterator[OtlpTracer]:
    """Send to the collector at `endpoint`; the end of the block delivers what waits, for at most CLOSE_GRACE. `ratio`:
    the share of the spans without a caller's that are sent, with all below them."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it repeats what _Delivery says once
    headers = None if key is None else {"Authorization": f"Bearer {key}"}
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        resource=Resource.create({"service.name": "openhands-sessions", "service.version": version}),
        shutdown_on_exit=False,
    )
    delivery = _Delivery(OTLPSpanExporter(endpoint, headers=headers, timeout=TIMEOUT))
    waiting: SpanProcessor = BatchSpanProcessor(
        delivery, max_queue_size=MOST_WAITING, max_export_batch_size=AT_ONCE, schedule_delay_millis=DELAY
    )
    provider.add_span_processor(waiting)
    try:
        yield OtlpTracer(provider.get_tracer("openhands_sessions", version))
    finally:
        if not await _shut_down(waiting):
            delivery.shutdown()  # what is being repeated ends, too


async def _shut_down(waiting: SpanProcessor) -> bool:
    """Whether it was done in time; if not, its thread ends by itself, and nothing waits for it."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def shut_down() -> None:
        waiting.shutdown()
        with suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=shut_down, name="traces", daemon=True).start()
    try:
        async with asyncio.timeout(CLOSE_GRACE):
            await done.wait()
    except TimeoutError:
        return False
    return True
