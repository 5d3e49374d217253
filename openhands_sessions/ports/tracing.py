"""Spans of what sessions do, for a collector of traces."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol

Attributes = Mapping[str, str | bool | int | float]

trace_parent: ContextVar[str | None] = ContextVar("trace_parent", default=None)
"""The `traceparent` of the request or connection that is served here, as W3C Trace Context writes it."""


class Span(Protocol):
    """A length of time with a name. It is sent once it has ended."""

    def set(self, attributes: Attributes) -> None:
        """Add to what it says, or replace it. Neither secrets, texts nor paths belong there."""

    def end(self, failure: str | None = None) -> None:
        """It ends now; `failure` names the kind of what went wrong."""


class Tracer(Protocol):
    """Makes spans. No method waits or raises, whatever becomes of the collector."""

    def begin(self, name: str, attributes: Attributes, parent: Span | str | None) -> Span:
        """A span that begins now, below a span of this tracer, or below a caller's `traceparent`. One that is not
        understood counts as none."""
