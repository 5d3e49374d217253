"""Compression of large JSON answers. Files are sent compressed where a compressed copy lies beside them."""

import asyncio
import gzip

from aiohttp import web
from aiohttp.typedefs import Handler

LARGE = 8 * 1024
"""Bytes of JSON from which an answer is compressed."""
LEVEL = 4
_LONG = 64 * 1024
"""Bytes that are compressed in a thread, since they would hold the event loop up for a millisecond and more."""


@web.middleware
async def compress_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Compress what is large, for a client that takes gzip."""
    response = await handler(request)
    if response.prepared or not isinstance(response, web.Response) or response.content_type != "application/json":
        return response
    body = response.body
    if isinstance(body, bytes) and len(body) >= LARGE:
        response.headers["Vary"] = "Accept-Encoding"
        if _takes_gzip(request):
            response.body = _compressed(body) if len(body) < _LONG else await asyncio.to_thread(_compressed, body)
            response.headers["Content-Encoding"] = "gzip"
    return response


def compress_stream(request: web.Request, response: web.StreamResponse) -> None:
    """Compress what will be written, for a client that takes gzip."""
    response.headers["Vary"] = "Accept-Encoding"
    if _takes_gzip(request):
        response.enable_compression(web.ContentCoding.gzip)


def _takes_gzip(request: web.Request) -> bool:
    """Whether `Accept-Encoding` names gzip, other than to forbid it."""
    for each in request.headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, options = each.partition(";")
        if coding.strip() in ("gzip", "*"):
            return options.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _compressed(body: bytes) -> bytes:
    return gzip.compress(body, LEVEL, mtime=0)
