"""A Docker engine as one on another machine is reached: by an address of the network, which shares no folders."""

import asyncio
import contextlib
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import docker
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import Certificate
from cryptography.x509.oid import NameOID
from docker.errors import DockerException

from tests.support.docker_engine import Engine

_READY_WITHIN = 20.0
_LOOK_AGAIN = 0.05
_PIECE = 64 << 10
Key = ec.EllipticCurvePrivateKey


@contextmanager
def far(engine: Engine, certificates: Path | None = None) -> Iterator[Engine]:
    """The same engine at `tcp://…`, until the end of the block; with TLS for clients with a certificate of the
    folder."""
    inside = [] if engine.namespace is None else ["nsenter", f"--net={engine.namespace}"]
    words = [sys.executable, "-m", __name__, engine.there, engine.address.removeprefix("unix://")]
    if certificates is not None:
        words.append(str(certificates))
    process = subprocess.Popen([*inside, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        address = f"tcp://{engine.there}:{int(process.stdout.readline())}"
        if certificates is None:
            _wait_for(address)
        yield replace(engine, address=address)
    finally:
        process.kill()
        process.communicate()


def _wait_for(address: str) -> None:
    until = time.monotonic() + _READY_WITHIN
    while True:
        with contextlib.suppress(DockerException), contextlib.closing(docker.APIClient(base_url=address)) as client:
            client.ping()
            return
        assert time.monotonic() < until, f"{address} does not answer"
        time.sleep(_LOOK_AGAIN)


def certify(folder: Path, host: str) -> None:
    """Make an authority, and certificates by it for the engine and for its client, by the names that Docker has."""
    folder.mkdir()
    root, by_root = _certificate("authority", None, host)
    _store(folder, "ca", root, by_root)
    _store(folder, "server", *_certificate("server", (root, by_root), host))
    _store(folder, "client", *_certificate("client", (root, by_root), host))
    (folder / "client.pem").rename(folder / "cert.pem")
    (folder / "client-key.pem").rename(folder / "key.pem")


def _certificate(name: str, issuer: tuple[Certificate, Key] | None, host: str) -> tuple[Certificate, Key]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
    )
    return built.sign(key if issuer is None else issuer[1], hashes.SHA256()), key


def _store(folder: Path, name: str, certificate: Certificate, key: Key) -> None:
    pem = serialization.Encoding.PEM
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / f"{name}-key.pem").write_bytes(key.private_bytes(pem, *plain))


async def _serve(host: str, path: str, certificates: str = "") -> None:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(path)
        await asyncio.gather(_copied(reader, back), _copied(there, writer))

    context = None
    if certificates:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f"{certificates}/ca.pem")
        context.load_cert_chain(f"{certificates}/server.pem", f"{certificates}/server-key.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    server = await asyncio.start_server(pass_on, host, 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
