"""Packets that libraries fail at: each is answered, by whatever transport it comes, and an answer that nobody takes
costs no memory."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from tests.support.raw_socket import RawSocket
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.socket_connection import ConnectionCut
from tests.support.stalled_client import StalledClient

ERROR = '42["oh_event",{"error":true'
NO_HTTP = (
    b"CONNECTX / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 20_000 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
)
MEGABYTES = 15.0
FRAME = f"42[{' ' * 250}]"
FRAMES = 300_000
AT_ONCE = 1_000


@pytest.fixture
def server(shared_server: Server) -> Server:
    return shared_server


@pytest.mark.parametrize("name", ["connect", "disconnect", "connect_error"])
@pytest.mark.parametrize("place", ["", "/operator,"])
async def test_a_client_cannot_play_the_library(server: Server, clients: Clients, name: str, place: str) -> None:
    sid = await clients.rest.create()
    raw = RawSocket(clients.rest.http, server.url)
    try:
        await raw.open()
        assert (await raw.connect(json.dumps({"conversation_id": sid, "protocol": 2}))).startswith("40{")
        await raw.send("40/operator,")
        await raw.answers()
        await raw.send(f'42{place}5["{name}",{{"QUERY_STRING":"conversation_id={sid}"}},{{}}]')
        assert [text for text in await raw.answers() if text.startswith(f"43{place}5[")]
        await raw.send('426["oh_user_action",{"action":"message","args":{"content":"$ echo still here"}}]')
        assert '436[{"ok":true' in "".join(await raw.answers())
    finally:
        await raw.close()
    assert "Traceback" not in server.log


async def test_who_says_goodbye_is_let_go_at_once(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create()
    raw = RawSocket(clients.rest.http, server.url)
    try:
        await raw.open()
        await raw.connect(json.dumps({"conversation_id": sid, "protocol": 2}))
        await raw.send("1")
        with suppress(ConnectionCut):
            while await raw.next():
                pass
    finally:
        await raw.close()
    assert (await clients.rest.describe(sid))["num_connections"] == 0


@pytest.mark.parametrize(
    "payload", ["", "x", "4", "7", "bA", "4[", "d=", "4\x1e\x1ex", "\x1e".join(["42[1]"] * 20), b"\xff\xfe"]
)
async def test_polling_is_answered_too(server: Server, clients: Clients, payload: str | bytes) -> None:
    sid = await clients.rest.create()
    http, url = clients.rest.http, f"{server.url}/socket.io/?EIO=4&transport=polling"
    opened = await _polled(http, url)
    here = f"{url}&sid={json.loads(opened[0][1:])['sid']}"
    assert await _posted(http, here, f'40{{"conversation_id":"{sid}"}}') == 200
    assert any(text.startswith("40{") for text in await _polled(http, here))
    assert await _posted(http, here, payload) == 200
    assert await _posted(http, here, '427["probe"]') == 200
    heard: list[str] = []
    while not any(text.startswith("437[") for text in heard):
        heard += await _polled(http, here)
    assert any(text.startswith(ERROR) for text in heard) or not payload
    assert "Traceback" not in server.log


async def test_a_number_that_is_none_is_refused_by_its_name(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create()
    for text in ("9" * 5_000, "-" + "9" * 5_000, "--5", "-", "+5", "1e3", "\u00b2", "\u0661", "9" * 30):
        for path, name in (("conversations", "limit"), (f"conversations/{sid}/remember-prompt", "event_id")):
            status, answer = await clients.rest.ask("GET", f"/api/{path}", **{name: text})
            assert (status, answer.get("field")) == (422, name), text
    assert "Traceback" not in server.log


async def test_what_is_no_http_is_answered_and_not_logged(server: Server) -> None:
    for request in NO_HTTP:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            writer.write(request)
            async with asyncio.timeout(10):
                assert (await reader.read()).split(b" ", 2)[1] == b"400", request
        finally:
            writer.close()
            await writer.wait_closed()
    assert '"level":"error"' not in server.log
    assert "Traceback" not in server.log


async def test_a_place_that_is_none_is_let_in_nowhere(server: Server) -> None:
    hosts = [b"Host: %b" % host for host in (b"[::1", b"\xff", b"[x]", b"a:b:c", b"", b"a b", b"\xe2\x80\xa8")]
    origins = [b"Origin: %b" % origin for origin in (b"http://[::1", b"\xff", b"null", b"", b"http://")]
    for headers in (*hosts, *(b"Host: localhost\r\n%b" % origin for origin in origins)):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            writer.write(b"GET /api/settings HTTP/1.1\r\n%b\r\nConnection: close\r\n\r\n" % headers)
            async with asyncio.timeout(10):
                assert (await reader.read()).split(b" ", 2)[1] == b"403", headers
        finally:
            writer.close()
            await writer.wait_closed()
    assert "Traceback" not in server.log


async def test_a_part_whose_name_is_no_text_leaves_no_trace_in_the_log(server: Server, clients: Clients) -> None:
    url = f"{server.url}/api/conversations/{await clients.rest.create()}/upload-files"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for name in (b"filename*=utf-8''\xff", b'filename="\xff', b"filename*=utf-8''a;b", b"filename*=\xed\xa0\x80"):
        part = b'--x\r\nContent-Disposition: form-data; name="files"; %b\r\n\r\nx\r\n--x--\r\n' % name
        async with clients.rest.http.post(url, data=part, headers=headers) as answer:
            assert answer.status == 200
            assert (await answer.json())["uploaded_files"] == []
    assert "Traceback" not in server.log
    assert "Disposition" not in server.log


async def test_the_handshake_says_what_is_taken_by_either_transport(server: Server, clients: Clients) -> None:
    recorded = {"upgrades": [], "pingTimeout": 20000, "pingInterval": 25000, "maxPayload": 16777216}
    address = f"{server.url}/socket.io/?EIO=4&transport="
    async with clients.rest.http.ws_connect(f"{address}websocket") as socket:
        opened = await socket.receive_str()
    assert {**json.loads(opened[1:]), "sid": ""} == {**recorded, "sid": ""}
    [polled] = await _polled(clients.rest.http, f"{address}polling")
    assert json.loads(polled[1:])["maxPayload"] == recorded["maxPayload"]


async def _polled(http: aiohttp.ClientSession, url: str) -> Sequence[str]:
    async with http.get(url) as answer:
        assert answer.status == 200
        return (await answer.text()).split("\x1e")


async def _posted(http: aiohttp.ClientSession, url: str, payload: str | bytes) -> int:
    async with http.post(url, data=payload, headers={"Content-Type": "text/plain;charset=UTF-8"}) as answer:
        return answer.status


async def test_who_asks_and_never_listens_is_not_heard_for_long(data_dir: Path) -> None:
    limits = {"OHS_LIMITS__SLOW_CLIENT_GRACE": "2"}
    async with running_server(data_dir, limits) as server, Clients(server.url) as clients:
        sid = await clients.rest.create()
        deaf = StalledClient(server.url, sid)
        before = server.memory()
        try:
            await deaf.connect()
            most, sent = before, 0
            with suppress(ConnectionError):
                while sent < FRAMES:
                    await deaf.flood(FRAME, AT_ONCE)
                    most, sent = max(most, server.memory()), sent + AT_ONCE
        finally:
            await deaf.close()
        print(f"{sent} frames; memory {before:.0f} MB, {most - before:.0f} MB more")
        assert sent < FRAMES
        assert most - before < MEGABYTES
        assert "Traceback" not in server.log


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_body_that_is_not_packed_as_it_says_is_the_callers_fault(
    server: Server, clients: Clients, coding: str
) -> None:
    url, headers = f"{server.url}/api/conversations", {"Content-Encoding": coding, "Content-Type": "application/json"}
    before = await clients.rest.ask("GET", "/api/conversations")
    async with clients.rest.http.post(url, data=b"not packed at all", headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["detail"]
        assert answer.headers["Connection"] == "close", "what is left of the body must not be taken for a request"
    assert await clients.rest.ask("GET", "/api/conversations") == before
    assert "Traceback" not in server.log
