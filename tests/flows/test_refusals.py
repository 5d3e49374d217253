"""What clients are told when they ask for what cannot be."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Client
from tests.support.socket_connection import ConnectionCut, ConnectionRefused

KEY = "the-key-of-this-server"


async def test_a_connection_is_refused_with_a_message_and_a_code(clients: Clients) -> None:
    sid = await clients.rest.create()
    cases: list[tuple[Client, dict[str, Any], str]] = [
        (clients.protocol2(sid), {"conversation_id": None}, "bad_input"),
        (clients.protocol2(sid), {"conversation_id": "../../etc/passwd"}, "bad_input"),
        (clients.protocol2(sid), {"conversation_id": 7}, "bad_input"),
        (clients.protocol2("unknown"), {}, "not_found"),
        (clients.protocol2(sid), {"protocol": 3}, "bad_input"),
        (clients.protocol2(sid), {"after": "soon"}, "bad_input"),
        (clients.protocol2("new"), {"create": {"settings": {"llm_modle": "x"}}}, "bad_input"),
        (clients.v0(sid), {"conversation_id": ""}, "bad_input"),
        (clients.v0(sid), {"conversation_id": "a/b"}, "bad_input"),
        (clients.v0("unknown"), {}, "not_found"),
        (clients.v0(sid), {"providers_set": "github,sourceforge"}, "not_found"),
    ]
    for client, more, code in cases:
        with pytest.raises(ConnectionRefused) as refusal:
            await client.connect(**more)
        assert refusal.value.told["data"]["code"] == code, more
        assert refusal.value.told["message"]
        assert not client.events
    missing = clients.v0(sid)
    await missing.connect(latest_event_id="soon")
    await missing.until_state("awaiting_user_input")
    assert (await clients.rest.ask("GET", "/api/conversations"))[1]["results"][0]["conversation_id"] == sid


async def test_a_guarded_server_asks_everybody_for_its_key(data_dir: Path) -> None:
    guarded = running_server(data_dir, {"OHS_SERVER__SESSION_API_KEY": KEY})
    async with guarded as server, Clients(server.url, key=KEY) as friends, Clients(server.url) as strangers:
        sid = await friends.rest.create()
        for client in (strangers.protocol2(sid), strangers.v0(sid), strangers.operator()):
            with pytest.raises(ConnectionRefused) as refusal:
                await client.connect()
            assert refusal.value.told["data"]["code"] == "unauthorized"
        guesser = strangers.v0(sid)
        with pytest.raises(ConnectionRefused):
            await guesser.connect(session_api_key="another")
        assert (await strangers.rest.ask("GET", "/api/conversations"))[0] == 401
        assert (await strangers.rest.ask("POST", "/api/conversations", {}))[0] == 401
        assert (await strangers.rest.ask("GET", "/health/ready"))[0] == 200
        for client in (friends.protocol2(sid), friends.v0(sid)):
            await client.connect()
            await client.until_state("awaiting_user_input")
        operator = friends.operator()
        await operator.connect()
        await operator.until(lambda: bool(operator.overviews))
        assert [each["conversation_id"] for each in operator.overviews[0]["sessions"]] == [sid]
        cookie = {"Cookie": f"session_api_key={KEY}"}
        async with strangers.rest.http.get(f"{server.url}/api/conversations", headers=cookie) as answer:
            assert answer.status == 200


BAD = [
    "not an object",
    7,
    None,
    [],
    {},
    {"action": "launch"},
    {"action": ["message"]},
    {"action": "message"},
    {"action": "message", "args": {}},
    {"action": "message", "args": {"content": 7}},
    {"action": "message", "args": {"content": "x", "image_urls": "y"}},
    {"action": "message", "args": {"content": "x" * 1_000_001}},
    {"action": "message", "args": {"content": "x"}, "key": ""},
    {"action": "change_agent_state", "args": {"agent_state": "dancing"}},
]


async def test_bad_input_is_answered_and_connection_and_conversation_live_on(clients: Clients) -> None:
    sid = await clients.rest.create()
    client, web = clients.protocol2(sid), clients.v0(sid)
    await client.connect()
    await web.connect()
    await client.until_state("awaiting_user_input")
    head = client.last
    for place, bad in enumerate(BAD, start=1):
        answer = await client.call("oh_user_action", bad)
        assert answer["ok"] is False, bad
        assert answer["code"] in ("bad_input", "too_large"), bad
        assert answer["message"]
        await web.send(bad)
        await web.until(partial(_has_errors, web, place))
        assert web.errors[-1] == {"error": True, "message": answer["message"], "code": answer["code"]}
    for name, values in (("oh_user_action", ({}, {})), ("oh_what", ({},)), ("oh_user_action", ())):
        answer = await client.call(name, *values)
        assert (answer["ok"], answer["code"]) == (False, "bad_input")
    confirm = await client.command("change_agent_state", agent_state="user_confirmed")
    assert (confirm["ok"], confirm["code"]) == (False, "not_accepting")
    said = await client.say("$ echo alive")
    assert said == head + 1
    await client.until_state("awaiting_user_input", after=said)
    await web.until_id(client.last)
    assert len(client.visits) == len(web.visits) == 1
    assert client.faults == web.faults == []


def _has_errors(client: Client, count: int) -> bool:
    return len(client.errors) == count


async def test_who_sends_too_much_at_once_is_told_to_wait_and_not_cut_off(data_dir: Path) -> None:
    limits = {"OHS_LIMITS__MESSAGES_PER_SECOND": "0.5", "OHS_LIMITS__MESSAGES_BURST": "3"}
    async with running_server(data_dir, limits) as server, Clients(server.url) as clients:
        sid = await clients.rest.create()
        client = clients.protocol2(sid)
        await client.connect()
        await client.until_state("awaiting_user_input")
        answers = await asyncio.gather(*(client.command("message", content=f"hello {n}") for n in range(6)))
        assert [answer["ok"] for answer in answers] == [True] * 3 + [False] * 3
        assert {answer["code"] for answer in answers[3:]} == {"rate_limited"}
        assert all(0 < answer["retry_after"] <= 6 for answer in answers[3:])
        assert client.connected


async def test_a_full_server_answers_the_handshake_itself_so_that_clients_try_again(data_dir: Path) -> None:
    async with running_server(data_dir, {"OHS_SERVER__MAX_SESSIONS": "1"}) as server, Clients(server.url) as clients:
        sid = await clients.rest.create("$ sleep 30")
        client = clients.protocol2(sid)
        await client.connect()
        await client.until_event(lambda event: event.get("action") == "run")
        assert await _handshake(server, "another") == (503, "at_capacity")
        status, answer = await clients.rest.ask("POST", "/api/conversations", {})
        assert (status, answer["code"]) == (503, "at_capacity")
        newcomer = clients.protocol2("another")
        with pytest.raises(ConnectionCut):
            await newcomer.connect(create=True)
        assert len((await clients.rest.ask("GET", "/api/conversations"))[1]["results"]) == 1
        await client.order("stopped")
        await client.until_state("stopped")
        await client.leave()
        await newcomer.connect(create=True)
        await newcomer.until_state("awaiting_user_input")


async def test_a_full_server_lets_in_operators_and_who_joins_a_live_session(data_dir: Path) -> None:
    async with running_server(data_dir, {"OHS_SERVER__MAX_SESSIONS": "1"}) as server, Clients(server.url) as clients:
        sid = await clients.rest.create("$ sleep 30")
        operator = clients.operator()
        for client in (clients.protocol2(sid), clients.v0(sid)):
            await client.connect()
            await client.until_event(lambda event: event.get("action") == "run")
        await operator.connect()
        await operator.until(lambda: bool(operator.overviews))


async def _handshake(server: Server, sid: str) -> tuple[int, str]:
    asked = f"{server.url}/socket.io/?EIO=4&transport=websocket&conversation_id={sid}"
    async with aiohttp.ClientSession() as http, http.get(asked) as answer:
        return answer.status, (await answer.json())["code"]
