"""Users with signed tokens on a real server: each sees its own, and no connection outlives its token."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from openhands_sessions.adapters.auths.revocations import FILE, revoke_token, revoke_tokens_of
from openhands_sessions.bootstrap.application import remote
from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.ports.gateway import SessionSpec
from tests.support.event_stream_client import EventStreamClient
from tests.support.running_server import Server, prepared_server, running_server
from tests.support.server_clients import Clients, Operator
from tests.support.socket_connection import ConnectionCut, ConnectionRefused
from tests.support.token_keys import SECRET, by_secret, ed25519_key, public, signed, write_jwks

TOKENS = {"OHS_AUTH__KIND": "tokens", "OHS_AUTH__SECRET": SECRET}
SOON = 10.0
"""Seconds until a token expires that is to be used before."""


@pytest.fixture
async def guarded(data_dir: Path) -> AsyncIterator[Server]:
    async with running_server(data_dir, TOKENS) as server:
        yield server


async def test_users_see_their_own_conversations_by_every_way(guarded: Server) -> None:
    ada, bob = Clients(guarded.url, key=by_secret()), Clients(guarded.url, key=by_secret(sub="bob"))
    async with ada, bob, Clients(guarded.url) as nobody:
        sid = await ada.rest.create("$ echo ada")
        assert [row["conversation_id"] for row in (await listed(ada))] == [sid]
        assert await listed(bob) == []
        client = ada.protocol2(sid)
        await client.connect()
        await client.until_event(lambda event: event.get("observation") == "run")
        for stranger, code in ((bob.protocol2(sid), "not_found"), (nobody.protocol2(sid), "unauthorized")):
            with pytest.raises(ConnectionRefused) as refused:
                await stranger.connect()
            assert refused.value.told["data"]["code"] == code
        assert (await nobody.rest.ask("GET", "/api/conversations"))[0] == 401


async def test_operators_watch_and_users_do_not(guarded: Server) -> None:
    for role, admitted in (("user", False), ("operator", True), ("admin", True)):
        async with Clients(guarded.url, key=by_secret(sub="eve", role=role)) as clients:
            operator = clients.operator()
            if admitted:
                await operator.connect()
                await operator.until(partial(_has_overview, operator))
            else:
                with pytest.raises(ConnectionRefused) as refused:
                    await operator.connect()
                assert refused.value.told["data"]["code"] == "unauthorized"


async def test_a_token_that_expires_ends_its_connections_with_a_reason(guarded: Server) -> None:
    async with Clients(guarded.url, key=by_secret(role="admin")) as own:
        sid = await own.rest.create("$ echo here")
        kept = own.protocol2(sid)
        await kept.connect()
        short = by_secret(role="admin", exp=time.time() + SOON)
        async with Clients(guarded.url, key=short) as clients:
            client, web, operator = clients.protocol2(sid), clients.v0(sid), clients.operator()
            stream = EventStreamClient(clients.rest.http, guarded.url, sid)
            following = asyncio.create_task(stream.until())
            for each in (client, web, operator):
                await each.connect()
            assert (await client.until_told("ended"))["reason"] == "expired"
            for each in (client, web):
                await each.until_gone()
                assert each.dismissed
            assert web.errors[-1]["code"] == "unauthorized"
            assert "has expired" in web.errors[-1]["message"]
            with pytest.raises(ConnectionCut):
                await operator.until(lambda: False)
            await following
            assert stream.ended == "expired"
            assert (await clients.rest.ask("GET", "/api/conversations"))[0] == 401
            with pytest.raises(ConnectionRefused):
                await client.connect()
        await kept.until_state("awaiting_user_input", after=await kept.say("$ echo still"))
        assert kept.connected
        assert kept.others[-1][0] == "hello"


async def test_a_client_that_polls_hears_that_its_token_has_expired(guarded: Server) -> None:
    headers = {"Authorization": f"Bearer {by_secret(exp=time.time() + SOON)}"}
    place = "/socket.io/?EIO=4&transport=polling"
    async with aiohttp.ClientSession(guarded.url, headers=headers) as http, asyncio.timeout(30.0):
        async with http.get(place) as answer:
            there = f"{place}&sid={json.loads((await answer.text())[1:])['sid']}"
        async with http.post(there, data=b'40{"protocol":2,"conversation_id":"talk","create":true}') as answer:
            assert await answer.text() == "OK"
        heard = ""
        while '42["ended",{"reason":"expired"}]' not in heard:
            async with http.get(there) as answer:
                heard += await answer.text()
                assert answer.status == 200, heard
        assert heard.index('42["hello"') < heard.index('42["ended"')


async def test_who_follows_from_another_process_hears_that_its_token_has_expired(guarded: Server) -> None:
    async with remote(guarded.url, by_secret(exp=time.time() + SOON)) as access:
        sid = ConversationId("talk")
        await access.gateway.open(SessionSpec(id=sid, create=True))
        async with access.gateway.follow(sid, -1) as items:
            with pytest.raises(Unauthorized, match="has expired"):
                async for _ in items:
                    pass


async def test_a_revoked_token_ends_its_connections_although_nothing_is_asked(guarded: Server) -> None:
    tokens = {"first": by_secret(jti="first", iat=1), "second": by_secret(jti="second", iat=1)}
    async with Clients(guarded.url, key=tokens["first"]) as first, Clients(guarded.url, key=tokens["second"]) as second:
        sid = await first.rest.create("$ echo here")
        clients = first.protocol2(sid), second.protocol2(sid)
        for client in clients:
            await client.connect()
            await client.until_state("awaiting_user_input")
        revoke_token(guarded.data_dir / FILE, "first")
        assert (await clients[0].until_told("ended"))["reason"] == "revoked"
        await clients[0].until_gone()
        assert (await first.rest.ask("GET", "/api/conversations"))[0] == 401
        assert (await second.rest.ask("GET", "/api/conversations"))[0] == 200
        revoke_tokens_of(guarded.data_dir / FILE, OwnerId("ada"), time.time())
        assert (await clients[1].until_told("ended"))["reason"] == "revoked"
    async with Clients(guarded.url, key=by_secret(iat=time.time())) as new:
        assert [row["conversation_id"] for row in await listed(new)] == [sid]


async def test_a_connection_goes_on_with_a_newer_token_of_its_user(guarded: Server) -> None:
    async with Clients(guarded.url, key=by_secret(exp=time.time() + SOON)) as clients:
        sid = await clients.rest.create("$ echo here")
        client, left = clients.protocol2(sid), clients.protocol2(sid)
        for each in (client, left):
            await each.connect()
        refusals = {
            "another user's": {"token": by_secret(sub="bob")},
            "has a wrong signature": {"token": by_secret("a secret of somebody else, and long enough")},
            "has expired": {"token": by_secret(exp=1)},
            "token": {"token": 7},
            "tokens": {"tokens": "x"},
        }
        for told, value in refusals.items():
            answer = await client.call("authenticate", value)
            assert (answer["ok"], told in answer["message"]) == (False, True), answer
        assert await client.call("authenticate", {"token": by_secret()}) == {"ok": True}
        assert (await left.until_told("ended"))["reason"] == "expired"
        said = await client.say("$ echo on")
        await client.until_event(lambda event: event.get("observation") == "run", after=said)
        assert len(client.visits) == 1


async def test_an_operator_goes_on_with_a_newer_token_of_an_operator(guarded: Server) -> None:
    short = by_secret(sub="eve", role="operator", exp=time.time() + SOON)
    async with Clients(guarded.url, key=short) as clients, Clients(guarded.url, key=by_secret()) as others:
        operator, left = clients.operator(), clients.operator()
        for each in (operator, left):
            await each.connect()
        for token in (by_secret(sub="eve"), by_secret(sub="mallory", role="operator")):
            answer = await operator.call("authenticate", {"token": token})
            assert (answer["ok"], answer["code"]) == (False, "unauthorized")
        newer = by_secret(sub="eve", role="operator")
        assert await operator.call("authenticate", {"token": newer}) == {"ok": True}
        with pytest.raises(ConnectionCut):
            await left.until(lambda: False)
        assert left.ended == "expired"
        sid = await others.rest.create()
        await operator.until(lambda: operator.state_of(sid) == "Ready")


async def test_a_server_takes_the_new_keys_of_its_file_and_drops_the_old_ones(data_dir: Path, tmp_path: Path) -> None:
    old, new = ed25519_key("old"), ed25519_key("new")
    file = write_jwks(tmp_path / "keys.json", public(old))
    settings = {"OHS_AUTH__KIND": "tokens", "OHS_AUTH__JWKS": str(file)}
    async with running_server(data_dir, settings) as server:
        before, after = Clients(server.url, key=signed(old)), Clients(server.url, key=signed(new))
        async with before, after:
            sid = await before.rest.create()
            client = before.protocol2(sid)
            await client.connect()
            assert (await after.rest.ask("GET", "/api/conversations"))[0] == 401
            write_jwks(file, public(new))
            assert (await client.until_told("ended"))["reason"] == "revoked"
            assert (await before.rest.ask("GET", "/api/conversations"))[0] == 401
            assert [row["conversation_id"] for row in await listed(after)] == [sid]


async def test_a_browser_logs_in_with_a_token_for_as_long_as_that_counts(guarded: Server) -> None:
    async with aiohttp.ClientSession(guarded.url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        async with http.get("/") as answer:
            assert (answer.status, "Token" in await answer.text()) == (401, True)
        send = partial(http.post, "/api/login", allow_redirects=False, headers={"Origin": guarded.url})
        async with send(data={"session_api_key": by_secret(exp=1)}) as answer:
            assert (answer.status, answer.cookies) == (401, {})
            assert "has expired" in await answer.text()
        async with send(data={"session_api_key": by_secret(exp=time.time() + 600, jti="it")}) as answer:
            [cookie] = answer.cookies.values()
        assert (answer.status, cookie["httponly"], cookie["samesite"]) == (303, True, "Strict")
        assert 500 < int(cookie["max-age"]) <= 600
        held = {"Cookie": f"{cookie.key}={cookie.value}"}
        async with http.get("/api/conversations", headers=held) as answer:
            assert answer.status == 200
        async with http.post("/api/login-link", headers={**held, "Origin": guarded.url}) as answer:
            link = await answer.json()
        async with http.get(f"/?token={link['token']}", allow_redirects=False) as answer:
            assert [each.value for each in answer.cookies.values()] == [cookie.value]
        revoke_token(guarded.data_dir / FILE, "it")
        async with asyncio.timeout(20.0):
            while True:
                async with http.get("/api/conversations", headers=held) as answer:
                    if answer.status == 401:
                        break


async def test_a_server_that_tells_users_apart_makes_no_key_and_prints_no_link(guarded: Server) -> None:
    assert not (guarded.data_dir / "session_api_key").exists()
    async with Clients(guarded.url, key="") as clients:
        assert (await clients.rest.ask("POST", "/api/login-link"))[0] == 401


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"OHS_AUTH__KIND": "tokens"}, "verified by auth.secret or the keys of auth.jwks"),
        ({**TOKENS, "OHS_SESSION_API_KEY": "key"}, "server.session_api_key is set"),
        ({**TOKENS, "OHS_AUTH__SECRET": "short"}, "auth.secret must be a text of at least 32 characters"),
        ({"OHS_AUTH__KIND": "tokens", "OHS_AUTH__JWKS": "/nowhere.json"}, "cannot be read"),
        ({"OHS_AUTH__KIND": "trusted_header"}, "set auth.proxies"),
        ({"OHS_AUTH__KIND": "trusted_header", "OHS_AUTH__PROXIES": "nginx"}, "addresses or networks"),
        ({"OHS_AUTH__HEADER": "not a name"}, "auth.header must be the name of a header"),
    ],
)
async def test_a_server_that_could_let_in_nobody_or_anybody_does_not_start(
    data_dir: Path, settings: dict[str, str], told: str
) -> None:
    async with prepared_server(data_dir, settings) as server:
        await server.launch()
        assert await server.ended() != 0
        assert told in server.log
        assert SECRET not in server.log


async def test_revocations_that_are_damaged_keep_a_server_from_starting(data_dir: Path) -> None:
    async with prepared_server(data_dir, TOKENS) as server:
        (data_dir / FILE).write_text('{"ids": ["x"]')
        await server.launch()
        assert await server.ended() != 0
        assert f"{FILE} is damaged" in server.log


def _has_overview(operator: Operator) -> bool:
    return bool(operator.overviews)


async def listed(clients: Clients) -> list[dict[str, str]]:
    status, answer = await clients.rest.ask("GET", "/api/conversations")
    assert status == 200, answer
    rows: list[dict[str, str]] = answer["results"]
    return rows
