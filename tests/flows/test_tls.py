"""A server that speaks HTTPS itself, and its certificate that is replaced while it runs."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from cryptography import x509

from openhands_sessions.config.config import Config, ServerSection
from tests.support.certificates import DAY, Pair, certified
from tests.support.command_line import CommandLine
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.socket_clients import Protocol2Client

KEY = "a-session-key"
FIRST = certified("first")


def trusting(*pairs: Pair) -> ssl.SSLContext:
    return ssl.create_default_context(cadata="".join(pair.certificate.decode() for pair in pairs))


async def shown(server: InProcessServer) -> str:
    """The name in the certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=_anything())
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    [name] = x509.load_der_x509_certificate(found).subject
    return str(name.value)


def _anything() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def shows(server: InProcessServer, name: str) -> None:
    """Wait until it does."""
    async with asyncio.timeout(30):
        while True:
            if await shown(server) == name:
                return
            await asyncio.sleep(0.02)


async def logged(lines: Sequence[MutableMapping[str, Any]], text: str) -> MutableMapping[str, Any]:
    """Wait for a line of the log."""
    async with asyncio.timeout(30):
        while True:
            if found := [line for line in lines if line["event"] == text]:
                return found[-1]
            await asyncio.sleep(0.02)


@pytest.fixture
async def server(data_dir: Path, tmp_path: Path) -> AsyncIterator[InProcessServer]:
    certificate, key = FIRST.write(tmp_path)
    section = ServerSection(session_api_key=KEY, tls_certificate=certificate, tls_key=key)
    async with in_process_server(Config(data_dir=data_dir, server=section)) as running:
        yield running


async def test_rest_sockets_and_login_go_over_tls(server: InProcessServer) -> None:
    connector = aiohttp.TCPConnector(ssl=trusting(FIRST))
    async with aiohttp.ClientSession(connector=connector, headers={"X-Session-API-Key": KEY}) as http:
        async with http.post(f"{server.url}/api/conversations", json={"initial_user_msg": "hi"}) as answer:
            sid = (await answer.json())["conversation_id"]
        client = Protocol2Client(http, server.url, sid)
        await client.connect()
        await client.until_state("awaiting_user_input")
        await client.leave()
        form = {"session_api_key": KEY}
        async with http.post(f"{server.url}/api/login", data=form, allow_redirects=False) as answer:
            [cookie] = answer.cookies.values()
            assert cookie["secure"]


async def test_a_replaced_certificate_is_shown_to_new_connections_and_ends_none(
    server: InProcessServer, tmp_path: Path
) -> None:
    second = certified("second")
    connector = aiohttp.TCPConnector(ssl=trusting(FIRST), limit=1)
    async with aiohttp.ClientSession(connector=connector) as http, http.get(f"{server.url}/health/live") as answer:
        assert answer.status == 200
        kept = answer.connection
        second.write(tmp_path)
        await shows(server, "second")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting(second))) as other:
            assert (await other.get(f"{server.url}/health/live")).status == 200
        assert kept is None or not kept.closed
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting(FIRST))) as old:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await old.get(f"{server.url}/health/live")


async def test_a_bad_replacement_leaves_the_certificate_and_is_logged(server: InProcessServer, tmp_path: Path) -> None:
    for bad, problem in (
        (certified("expired", begins=-2 * DAY, ends=-DAY), "has expired"),
        (Pair(certified("foreign").certificate, FIRST.key), "does not belong"),
    ):
        with structlog.testing.capture_logs() as lines:
            bad.write(tmp_path)
            line = await logged(lines, "the certificate is left as it was")
        assert problem in str(line["problem"])
        assert "PRIVATE" not in str(lines)
        assert await shown(server) == "first"
    with structlog.testing.capture_logs() as lines:
        (tmp_path / "key.pem").unlink()
        await logged(lines, "a file is left as it was read before")
    assert await shown(server) == "first"
    certified("third").write(tmp_path)
    await shows(server, "third")


async def test_a_server_does_not_start_with_a_bad_certificate_and_says_why(data_dir: Path, tmp_path: Path) -> None:
    certificate, key = certified(begins=-2 * DAY, ends=-DAY).write(tmp_path)
    variables = {"OHS_SERVER__TLS_CERTIFICATE": str(certificate), "OHS_SERVER__TLS_KEY": str(key)}
    done = await CommandLine(data_dir, variables).run("serve", "--port", "0")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: server.tls_certificate has expired at")
    doctor = await CommandLine(data_dir, variables).run("doctor")
    assert doctor.code == 1
    assert "server.tls_certificate has expired at" in doctor.out


async def test_doctor_knows_a_server_of_ours_that_speaks_https(
    server: InProcessServer, data_dir: Path, tmp_path: Path
) -> None:
    variables = {
        "OHS_SERVER__TLS_CERTIFICATE": str(tmp_path / "certificate.pem"),
        "OHS_SERVER__TLS_KEY": str(tmp_path / "key.pem"),
        "OHS_SERVER__PORT": str(server.port),
    }
    doctor = await CommandLine(data_dir, variables).run("doctor", "--json")
    found = {check["name"]: check for check in json.loads(doctor.out)["checks"]}
    assert found["port"]["status"] == "ok", doctor.out
    assert found["port"]["found"].endswith("a server of ours listens there already")
