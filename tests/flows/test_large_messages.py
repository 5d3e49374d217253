"""How large a message may be, and what becomes of one that is larger."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.frame_client import (
    COMPRESSED,
    CONTINUATION,
    FINAL,
    TEXT,
    ClosedWith,
    FrameClient,
    frame,
    frame_client,
)
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

LIMIT = 200_000
REFUSED = "a message was refused"
"""In a line of the log."""
UNKNOWN = 64 * 1024
KEY = "the-key-of-this-server"
SEES: dict[str, Any] = {
    "llm_model": "openai/gpt-4o",
    "llm_api_key": "k",
    "llm_base_url": "http://127.0.0.1:9/v1",
    "llm_retries": 0,
}
SHOT = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(2_400 * 1024)).decode()
TOO_LARGE = f"a message must not be larger than {LIMIT} bytes"
TOO_LARGE_UNKNOWN = f"a message must not be larger than {UNKNOWN} bytes"


@pytest.fixture
async def small(data_dir: Path) -> AsyncIterator[Server]:
    """A server with a low limit and a key."""
    settings = {"OHS_LIMITS__MESSAGE_BYTES": str(LIMIT), "OHS_SERVER__SESSION_API_KEY": KEY}
    async with running_server(data_dir, settings) as server:
        yield server


def command(size: int, filler: str = "x") -> str:
    """A frame with a command that asks for an answer, of `size` bytes without the 4 that engine.io takes off."""
    whole = '427["oh_user_action",{"action":"message","args":{"content":"%"}}]'
    room = size - len(whole) + 2
    return whole.replace("%", filler * (room // len(filler.encode())) + "x" * (room % len(filler.encode())))


async def entered(client: FrameClient, sid: str) -> None:
    """By protocol 2."""
    auth = {"protocol": 2, "conversation_id": sid, "session_api_key": KEY}
    await client.say(f"40{json.dumps(auth)}")
    await client.until("40")


async def answer(client: FrameClient) -> dict[str, Any]:
    """What the command is answered with."""
    async with asyncio.timeout(20):
        told: dict[str, Any] = json.loads((await client.until("437["))[3:])[0]
    return told


async def ended(client: FrameClient) -> ClosedWith:
    async with asyncio.timeout(20):
        return await client.end()


async def test_three_screenshots_in_one_message_are_taken_and_come_back(clients: Clients) -> None:
    sid = await clients.rest.create(**SEES)
    message = {"action": "message", "args": {"content": "three", "image_urls": [SHOT] * 3}}
    known, new = clients.v0(sid), clients.protocol2(sid)
    await known.connect()
    await known.until_state("awaiting_user_input")
    await known.send(message)
    first = await known.until_event(lambda event: event.get("action") == "message")
    await known.until_state("error")
    await new.connect()
    told = await new.call("oh_user_action", message)
    assert told["ok"], told
    second = await known.until_event(lambda event: event["id"] == told["id"])
    await new.until_id(told["id"])
    for event in (first, second, *(event for event in new.events if event["id"] in (first["id"], told["id"]))):
        assert event["args"]["image_urls"] == [SHOT] * 3
    assert new.visits[-1].hello is not None
    assert new.visits[-1].hello["limits"]["message_bytes"] == 16 * 1024 * 1024


@pytest.mark.parametrize("filler", ["x", "é", "語"])
async def test_a_message_over_the_limit_is_refused_in_words_and_the_connection_stays(
    small: Server, filler: str
) -> None:
    async with Clients(small.url, key=KEY) as clients, frame_client(small.port) as client:
        await entered(client, await clients.rest.create())
        for size in (LIMIT, LIMIT + 1, 2 * LIMIT - 1):
            await client.say(command(size, filler))
            told = await answer(client)
            assert told["ok"] is (size == LIMIT), (size, told)
            if size > LIMIT:
                assert (told["code"], told["message"]) == ("too_large", TOO_LARGE)
        await client.say(command(1_000))
        assert (await answer(client))["ok"]
    lines = await small.logged(REFUSED, 2)
    assert [(line["cause"], line["limit"], line["size"]) for line in lines] == [
        ("too large", LIMIT, LIMIT + 1),
        ("too large", LIMIT, 2 * LIMIT - 1),
    ]


@pytest.mark.parametrize("pieces", [1, 7, 1_000])
async def test_what_is_more_than_twice_as_large_ends_the_connection_with_the_limit(small: Server, pieces: int) -> None:
    async with Clients(small.url, key=KEY) as clients, frame_client(small.port) as client:
        await entered(client, await clients.rest.create())
        content = command(2 * LIMIT).encode()
        size = len(content) // pieces
        for number in range(pieces):
            await client.send(
                frame(content[number * size : (number + 1) * size], TEXT if number == 0 else CONTINUATION)
            )
        await client.send(frame(content[pieces * size :], CONTINUATION | FINAL))
        assert await ended(client) == ClosedWith(1009, TOO_LARGE)
        sid = await clients.rest.create()
        async with frame_client(small.port) as other:
            await entered(other, sid)
            for number in range(pieces):
                part = command(LIMIT).encode()[number * LIMIT // pieces : (number + 1) * LIMIT // pieces]
                await other.send(frame(part, TEXT if number == 0 else CONTINUATION))
            await other.send(frame(command(LIMIT).encode()[LIMIT:], CONTINUATION | FINAL))
            assert (await answer(other))["ok"]
    assert [line["limit"] for line in await small.logged(REFUSED, 1)] == [LIMIT]


async def test_the_reason_arrives_although_the_client_is_still_sending(small: Server) -> None:
    async with Clients(small.url, key=KEY) as clients, frame_client(small.port) as client:
        await entered(client, await clients.rest.create())
        await client.send(frame(b"4", more=100 * LIMIT))
        for _ in range(100):
            await client.send(bytes(LIMIT))
        assert await ended(client) == ClosedWith(1009, TOO_LARGE)


async def test_who_is_not_known_may_send_little(small: Server) -> None:
    async with Clients(small.url, key=KEY) as clients:
        sid = await clients.rest.create()
        for size in (UNKNOWN, UNKNOWN + 1, 2 * UNKNOWN - 100):
            async with frame_client(small.port) as client:
                auth = {"conversation_id": sid, "session_api_key": KEY, "epoch": ""}
                auth["epoch"] = "x" * (size - len(json.dumps(auth)) - 1)
                await client.say(f"40{json.dumps(auth)}")
                async with asyncio.timeout(20):
                    told = await client.until("4")
                assert told.startswith("40{" if size == UNKNOWN else "44{"), (size, told)
                if size > UNKNOWN:
                    assert json.loads(told[2:]) == {"message": TOO_LARGE_UNKNOWN, "data": {"code": "too_large"}}
                    await entered(client, sid)
                await client.say(command(LIMIT))
                assert (await answer(client))["ok"], "it is known now"
        for pieces in (frame(bytes(3 * UNKNOWN)), frame(b"4", more=2 * LIMIT) + bytes(3 * UNKNOWN)):
            async with frame_client(small.port, headers={"X-Session-API-Key": "wrong"}) as client:
                await client.send(pieces)
                assert await ended(client) == ClosedWith(1009, TOO_LARGE_UNKNOWN)


@pytest.mark.parametrize("place", ["X-Session-API-Key", "Cookie", "query"])
async def test_who_shows_the_key_in_the_handshake_is_known_at_once(small: Server, place: str) -> None:
    headers = {} if place == "query" else {place: f"session_api_key={KEY}" if place == "Cookie" else KEY}
    headers["Origin"] = "http://localhost"
    query = {"session_api_key": KEY} if place == "query" else {}
    async with frame_client(small.port, query, headers) as client:
        create = {"initial_user_msg": "x" * (LIMIT - 1_000)}
        await client.say(f"40{json.dumps({'protocol': 2, 'conversation_id': 'new', 'create': create})}")
        async with asyncio.timeout(20):
            assert (await client.until("4")).startswith("40{")


async def test_messages_are_not_taken_compressed(small: Server) -> None:
    headers = {"Sec-WebSocket-Extensions": "permessage-deflate"}
    async with Clients(small.url, key=KEY) as clients, frame_client(small.port, headers=headers) as client:
        assert "permessage-deflate" not in client.answer
        await entered(client, await clients.rest.create())
        await client.send(frame(b"any", TEXT | FINAL | COMPRESSED))
        assert (await ended(client)).code == 1002


async def test_the_limit_of_a_request_is_that_of_what_it_unpacks_to(small: Server) -> None:
    async with Clients(small.url, key=KEY) as clients:
        path = f"/api/conversations/{await clients.rest.create()}/events"
        whole = {"action": "message", "args": {"content": ""}}
        for size in (LIMIT, LIMIT + 1, 4 * LIMIT):
            whole["args"] = {"content": "x" * (size - len(json.dumps({**whole, "args": {"content": ""}})))}
            for packed in (False, True):
                body = json.dumps(whole).encode()
                headers = {"Content-Type": "application/json"} | ({"Content-Encoding": "gzip"} if packed else {})
                async with clients.rest.http.post(
                    f"{small.url}{path}", data=gzip.compress(body) if packed else body, headers=headers
                ) as got:
                    told = await got.json()
                    assert got.status == (200 if size == LIMIT else 413), (size, packed, told)
                    if size > LIMIT:
                        assert (told["code"], told["message"]) == ("too_large", TOO_LARGE)


async def test_a_client_that_polls_has_the_same_limits(small: Server) -> None:
    address = f"{small.url}/socket.io/?EIO=4&transport=polling"
    async with Clients(small.url) as strangers, Clients(small.url, key=KEY) as clients:
        sid = await clients.rest.create()
        for http, limit in ((strangers.rest.http, UNKNOWN), (clients.rest.http, LIMIT)):
            async with http.get(address) as opened:
                session = f"{address}&sid={json.loads((await opened.text())[1:])['sid']}"
            for headers in ({}, {"Content-Encoding": "gzip"}):
                body = gzip.compress(bytes(2 * limit + 1)) if headers else bytes(2 * limit + 1)
                async with http.post(session, data=body, headers=headers) as got:
                    assert got.status == 413
                    assert (await got.json())["message"] == f"a message must not be larger than {limit} bytes"
        await _post(clients, session, f"40{json.dumps({'protocol': 2, 'conversation_id': sid})}")
        assert "40{" in await _poll(clients, session, "40{")
        await _post(clients, session, "\x1e".join([command(LIMIT), command(LIMIT - 500)]))
        assert (await _poll(clients, session, "437[")).count('"ok":true') == 2
        await _post(clients, session, command(LIMIT + 1))
        assert "too_large" in await _poll(clients, session, "437[")
        await _post(clients, session, command(10))
        assert "437[" in await _poll(clients, session, "437[")


async def test_attachments_are_refused_in_words_whatever_their_size(small: Server) -> None:
    async with Clients(small.url, key=KEY) as clients, frame_client(small.port) as client:
        await entered(client, await clients.rest.create())
        await client.say('453-7["oh_user_action",{"_placeholder":true,"num":0}]')
        assert (await answer(client))["code"] == "bad_input"
        for size, code in ((10, "bad_input"), (LIMIT, "bad_input"), (LIMIT + 1, "too_large"), (2 * LIMIT, "too_large")):
            await client.send(frame(bytes(size), 2 | FINAL))
            async with asyncio.timeout(20):
                assert f'"code":"{code}"' in await client.until('42["oh_event",{"error"')
        await client.say(command(1_000))
        assert (await answer(client))["ok"]


async def _post(clients: Clients, session: str, body: str) -> None:
    async with clients.rest.http.post(session, data=body) as got:
        assert got.status == 200, await got.text()


async def _poll(clients: Clients, session: str, until: str) -> str:
    """What comes up to the payload in which `until` is."""
    heard = ""
    while until not in heard:
        async with asyncio.timeout(20), clients.rest.http.get(session) as got:
            heard += await got.text()
            if "2\x1e" in f"{heard}\x1e":
                await _post(clients, session, "3")
    return heard
