"""A bucket of an S3-compatible object store on loopback: path style, for who puts objects and asks for them."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.support.loopback_site import loopback_site

KEY = "key-of-the-bucket"


class ObjectStore:
    """While it runs. `refusals` is how many of the next puts it refuses."""

    def __init__(self, bucket: str) -> None:
        self.url = ""
        self.objects: dict[str, bytes] = {}
        self.refusals = 0
        self._bucket = bucket

    def routes(self) -> list[web.RouteDef]:
        one = "/{bucket}/{key:.+}"
        return [web.put(one, self._put), web.head(one, self._head), web.put("/{bucket}", self._make)]

    async def _put(self, request: web.Request) -> web.Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        content = _unframed(await request.read(), request.headers.get("Content-Encoding", ""))
        if self.refusals:
            self.refusals -= 1
            return _error(403, "AccessDenied", f"{KEY} may not write")
        self.objects[request.match_info["key"]] = content
        return web.Response(headers={"ETag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'})

    async def _head(self, request: web.Request) -> web.Response:
        content = self.objects.get(request.match_info["key"])
        return web.Response(status=404) if content is None else web.Response(body=content)

    async def _make(self, request: web.Request) -> web.Response:
        return _error(403, "AccessDenied", "nobody makes buckets here")

    def _refused(self, request: web.Request) -> web.Response | None:
        if f"Credential={KEY}/" not in request.headers.get("Authorization", ""):
            return _error(403, "InvalidAccessKeyId", "the key is not known")
        if request.match_info["bucket"] != self._bucket:
            return _error(404, "NoSuchBucket", "the bucket does not exist")
        return None


def _unframed(body: bytes, encoding: str) -> bytes:
    """The object of a body that comes in chunks with signatures, or with a checksum behind it."""
    if "aws-chunked" not in encoding:
        return body
    content = b""
    while body:
        head, _, body = body.partition(b"\r\n")
        size = int(head.partition(b";")[0], 16)
        if size == 0:
            break
        content, body = content + body[:size], body[size + 2 :]
    return content


def _error(status: int, code: str, message: str) -> web.Response:
    text = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")


@asynccontextmanager
async def object_store(bucket: str) -> AsyncIterator[ObjectStore]:
    store = ObjectStore(bucket)
    async with loopback_site(store.routes()) as store.url:
        yield store
