"""A registry with one small image in it, from which a real engine can pull."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = "small"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_UNKNOWN = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
_LAYER_BYTES = 3_000_000


@contextmanager
def registry(address: str) -> Iterator[str]:
    """What the image is called by an engine that reaches us under this address."""
    contents = _contents()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = contents.get(self.path.rpartition("/")[2])
            kind, body = found or ("application/json", _UNKNOWN)
            self.send_response(200 if found or self.path == "/v2/" else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Docker-Content-Digest", _digest(body))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"{address}:{server.server_port}/{NAME}"
        finally:
            server.shutdown()
            serving.join()


def _contents() -> dict[str, tuple[str, bytes]]:
    """By tag or digest: the kind, and the bytes."""
    layer = _layer()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"openhands-sessions.test": "1"}},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    ).encode()
    packed = gzip.compress(layer)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _described("application/vnd.docker.container.image.v1+json", config),
            "layers": [_described("application/vnd.docker.image.rootfs.diff.tar.gzip", packed)],
        }
    ).encode()
    blobs = {_digest(each): ("application/octet-stream", each) for each in (config, packed)}
    return {"1": (MANIFEST, manifest), _digest(manifest): (MANIFEST, manifest), **blobs}


def _layer() -> bytes:
    """Of random bytes, so that no engine has it yet."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size = _LAYER_BYTES
        archive.addfile(member, io.BytesIO(os.urandom(_LAYER_BYTES)))
    return target.getvalue()


def _described(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "size": len(content), "digest": _digest(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
