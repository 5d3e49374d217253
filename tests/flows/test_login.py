"""Logging in with a browser, as curl sees it: a link with a one-time token, a form that takes the key, the cookie."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from openhands_sessions.config.session_key import read_key
from tests.support.running_server import Server, prepared_server
from tests.support.server_clients import Rest
from tests.support.socket_connection import ConnectionCut, ConnectionRefused, SocketConnection

GUARDED = {"OHS_AUTH__KIND": "session_key"}
PAGE = "<!doctype html><title>the client</title>"
ELSEWHERE = "http://evil.example"


class Answer(NamedTuple):
    status: int
    text: str
    headers: Mapping[str, str]
    cookies: list[Morsel[str]]


class Visitor:
    """Asks one server, without a memory and without following where it is led."""

    def __init__(self, http: aiohttp.ClientSession, server: Server) -> None:
        self.server = server
        self._http = http

    @property
    def key(self) -> str:
        key = read_key(self.server.data_dir)
        assert key is not None
        return key

    @property
    def cookie_name(self) -> str:
        return f"ohs_login_{self.server.port}"

    async def ask(self, method: str, path: str, /, **headers: str) -> Answer:
        return await self._request(method, path, None, headers)

    async def send(self, path: str, body: Mapping[str, str] | bytes, /, **headers: str) -> Answer:
        """POST: a form, or what it is."""
        return await self._request("POST", path, body, headers)

    async def _request(self, method: str, path: str, body: object, named: Mapping[str, str]) -> Answer:
        headers = {name.replace("_", "-"): value for name, value in named.items()}
        async with self._http.request(
            method, f"{self.server.url}{path}", data=body, headers=headers, allow_redirects=False
        ) as answer:
            jar = SimpleCookie()
            for line in answer.headers.getall("Set-Cookie", ()):
                jar.load(line)
            return Answer(answer.status, await answer.text(), answer.headers, list(jar.values()))

    async def token(self) -> str:
        async with Rest(self.server.url, key=self.key) as rest:
            status, link = await rest.ask("POST", "/api/login-link")
        assert (status, link["seconds"]) == (200, 900)
        return str(link["token"])

    async def cookie(self) -> str:
        """What a browser sends once it is logged in."""
        [cookie] = (await self.ask("GET", f"/?token={await self.token()}")).cookies
        return f"{cookie.key}={cookie.value}"


@pytest.fixture
async def visitor(data_dir: Path, tmp_path: Path) -> AsyncIterator[Visitor]:
    client = tmp_path / "client"
    (client / "assets").mkdir(parents=True)
    (client / "index.html").write_text(PAGE)
    (client / "assets" / "app-1.js").write_text("run()")
    settings = {**GUARDED, "OHS_SERVER__CLIENT_DIR": str(client), "OHS_SERVER__TRUSTED_PROXIES": "127.0.0.1"}
    async with (
        prepared_server(data_dir, settings) as server,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        await server.start()
        yield Visitor(http, server)


async def test_without_a_login_every_page_asks_for_the_key_and_sets_nothing(visitor: Visitor) -> None:
    for path in ("/", "/index.html", "/conversations/x", "/?login=used", "/?login=<script>", "/?token="):
        answer = await visitor.ask("GET", path)
        if path == "/?token=":
            assert (answer.status, answer.headers["Location"]) == (303, "/?login=unknown")
        else:
            assert answer.status == 401, path
            assert 'type="password"' in answer.text
            assert "<script" not in answer.text
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.cookies == []
        assert "no-store" in answer.headers["Cache-Control"]
    assert (await visitor.ask("GET", "/assets/app-1.js")).text == "run()"
    assert (await visitor.ask("GET", "/api/conversations")).status == 401
    assert (await visitor.ask("GET", "/health/ready")).status == 200


async def test_a_link_sets_a_cookie_and_leads_to_an_address_without_the_token(visitor: Visitor) -> None:
    token = await visitor.token()
    answer = await visitor.ask("GET", f"/?token={token}")
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    [cookie] = answer.cookies
    assert cookie.key == visitor.cookie_name
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    assert not cookie["secure"]
    assert visitor.key not in cookie.value
    held = f"{cookie.key}={cookie.value}"
    assert (await visitor.ask("GET", "/conversations/x", Cookie=held)).text == PAGE
    assert (await visitor.ask("GET", "/api/conversations", Cookie=held)).status == 200
    await visitor.server.stopped()
    for secret in (token, visitor.key, cookie.value):
        assert secret not in visitor.server.log
    assert '"path":"/"' in visitor.server.log


async def test_a_link_counts_once_and_says_why_it_does_not(visitor: Visitor) -> None:
    token = await visitor.token()
    assert (await visitor.ask("HEAD", f"/?token={token}")).cookies == []
    held = await visitor.cookie()
    first, second, known = (
        await visitor.ask("GET", f"/?token={token}"),
        await visitor.ask("GET", f"/?token={token}"),
        await visitor.ask("GET", f"/?token={token}", Cookie=held),
    )
    assert (len(first.cookies), second.cookies, second.headers["Location"]) == (1, [], "/?login=used")
    assert "was used already" in (await visitor.ask("GET", "/?login=used")).text
    assert (known.status, known.headers["Location"]) == (303, "/")
    of_before = await visitor.token()
    await visitor.server.stopped()
    await visitor.server.start()
    lost = await visitor.ask("GET", f"/?token={of_before}")
    assert (lost.cookies, lost.headers["Location"]) == ([], "/?login=unknown")
    assert "before its last start" in (await visitor.ask("GET", "/?login=unknown")).text


async def test_a_login_outlives_the_server_and_not_its_key(visitor: Visitor) -> None:
    held = await visitor.cookie()
    await visitor.server.stopped()
    await visitor.server.start()
    assert (await visitor.ask("GET", "/api/conversations", Cookie=held)).status == 200
    await visitor.server.stopped()
    (visitor.server.data_dir / "session_api_key").unlink()
    await visitor.server.start()
    assert (await visitor.ask("GET", "/api/conversations", Cookie=held)).status == 401
    assert (await visitor.ask("GET", "/", Cookie=held)).status == 401
    [line] = await visitor.server.logged("a caller was refused", 1)
    assert line["cause"] == "old login"


async def test_the_form_takes_the_key_and_leads_back_to_the_page(visitor: Visitor) -> None:
    asked = (await visitor.ask("GET", "/conversations/x")).text
    assert 'name="next" value="/conversations/x"' in asked
    own = {"Origin": visitor.server.url}
    given = {"session_api_key": f" {visitor.key}\n", "next": "/conversations/x"}
    answer = await visitor.send("/api/login", given, **own)
    assert (answer.status, answer.headers["Location"]) == (303, "/conversations/x")
    [cookie] = answer.cookies
    assert (await visitor.ask("GET", "/", Cookie=f"{cookie.key}={cookie.value}")).text == PAGE
    for path in ("//evil.example", "/\\evil.example", "https://evil.example", "/x\r\nX: y", ""):
        answer = await visitor.send("/api/login", {**given, "next": path}, **own)
        assert (answer.status, answer.headers["Location"]) == (303, "/"), path


async def test_a_wrong_key_in_the_form_is_told_and_a_foreign_page_cannot_send_it(visitor: Visitor) -> None:
    given = {"session_api_key": "wrong-key", "next": '/"><script>'}
    answer = await visitor.send("/api/login", given, Origin=visitor.server.url)
    assert (answer.status, answer.cookies) == (401, [])
    assert "not the key of this server" in answer.text
    assert "<script" not in answer.text
    assert "wrong-key" not in answer.text + visitor.server.log
    right = {"session_api_key": visitor.key}
    for origin in (ELSEWHERE, "null"):
        answer = await visitor.send("/api/login", right, Origin=origin)
        assert (answer.status, answer.cookies) == (403, [])


async def test_behind_tls_the_cookie_is_for_tls_alone_and_named_by_the_port_that_people_use(visitor: Visitor) -> None:
    token, name = await visitor.token(), "agents.example.org:8443"
    [cookie] = (await visitor.ask("GET", f"/?token={token}", Host=name, X_Forwarded_Proto="https")).cookies
    assert (cookie.key, cookie["secure"]) == ("ohs_login_8443", True)
    given = {"session_api_key": visitor.key}
    page = {"Host": "agents.example.org", "Origin": "https://agents.example.org"}
    [cookie] = (await visitor.send("/api/login", given, **page)).cookies
    assert (cookie.key, cookie["secure"]) == ("ohs_login", True)
    held = {"Cookie": f"{cookie.key}={cookie.value}"}
    assert (await visitor.ask("GET", "/api/conversations", **page, **held)).status == 200


async def test_a_cookie_changes_something_for_pages_of_ours_only(visitor: Visitor) -> None:
    cookies = {"Cookie": await visitor.cookie()}, {"Cookie": f"session_api_key={visitor.key}"}
    for held in cookies:
        create = ("POST", "/api/conversations")
        assert (await visitor.ask(*create, Content_Type="application/json", **held)).status == 401
        assert (await visitor.ask(*create, Origin=ELSEWHERE, **held)).status == 403
        assert (await visitor.ask(*create, Origin="null", **held)).status == 403
        assert (await visitor.ask(*create, Origin=visitor.server.url, **held)).status == 200
        assert (await visitor.ask(*create, Sec_Fetch_Site="same-origin", **held)).status == 200
        assert (await visitor.ask(*create, Sec_Fetch_Site="same-site", **held)).status == 401
    assert (await visitor.ask("POST", "/api/conversations", X_Session_API_Key=visitor.key)).status == 200
    by_key = await visitor.ask("POST", "/api/conversations", X_Session_API_Key=visitor.key, **cookies[0])
    assert by_key.status == 200


async def test_a_socket_by_cookie_needs_an_origin_and_by_key_none(visitor: Visitor) -> None:
    held, own = {"Cookie": await visitor.cookie()}, {"Origin": visitor.server.url}
    talk = ("/", {"protocol": 2, "conversation_id": "talk", "create": True})
    for namespace, auth in (talk, ("/operator", {})):
        for headers, problem in (
            ({**held, **own}, None),
            ({"X-Session-API-Key": visitor.key}, None),
            (held, ConnectionRefused),
            (own, ConnectionRefused),
            ({**held, "Origin": ELSEWHERE}, ConnectionCut),
        ):
            async with aiohttp.ClientSession(headers=headers) as http:
                connection = SocketConnection(http, lambda name, value: None, lambda: None, namespace)
                with nullcontext() if problem is None else pytest.raises(problem):
                    await connection.connect(visitor.server.url, {}, auth)
                assert connection.alive is (problem is None)
                await connection.close()


async def test_a_page_that_polls_shows_in_another_way_that_it_is_ours(visitor: Visitor) -> None:
    held = {"Cookie": await visitor.cookie()}
    for more, said in (
        ({"Sec-Fetch-Site": "same-origin"}, "40{"),
        ({"Sec-Fetch-Site": "same-site"}, "44{"),
        ({}, "44{"),
    ):
        headers = {name.replace("-", "_"): value for name, value in {**held, **more}.items()}
        place = "/socket.io/?EIO=4&transport=polling&conversation_id=talk"
        opened = json.loads((await visitor.ask("GET", place, **headers)).text[1:])
        there = f"{place}&sid={opened['sid']}"
        assert (await visitor.send(there, b'40{"protocol":2,"create":true}', **headers)).text == "OK"
        assert (await visitor.ask("GET", there, **headers)).text.startswith(said), more


async def test_a_key_counts_before_a_cookie_that_is_out_of_date(visitor: Visitor) -> None:
    old = {"Cookie": f'{visitor.cookie_name}=1.{"0" * 64}; other={{"a": [1]}}; session_api_key=undefined'}
    assert (await visitor.ask("GET", "/api/conversations", **old)).status == 401
    assert (await visitor.ask("GET", f"/api/conversations?session_api_key={visitor.key}", **old)).status == 200


async def test_a_logout_removes_the_cookie(visitor: Visitor) -> None:
    answer = await visitor.ask("POST", "/api/logout", Cookie=await visitor.cookie(), Origin=visitor.server.url)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    [cookie] = answer.cookies
    assert (cookie.key, cookie.value, cookie["max-age"], cookie["path"]) == (visitor.cookie_name, "", "0", "/")


async def test_who_follows_a_link_from_another_site_is_sent_through_our_own_page(visitor: Visitor) -> None:
    answer = await visitor.ask("GET", "/conversations/x", Sec_Fetch_Site="cross-site")
    assert (answer.status, answer.cookies) == (200, [])
    assert 'http-equiv="refresh"' in answer.text


async def test_where_pages_are_served_by_somebody_else_people_log_in_below_the_api(visitor: Visitor) -> None:
    asked = await visitor.ask("GET", "/api/login")
    assert (asked.status, 'name="next" value="/"' in asked.text) == (401, True)
    token = await visitor.token()
    answer = await visitor.ask("GET", f"/api/login?token={token}")
    assert (answer.status, answer.headers["Location"], len(answer.cookies)) == (303, "/", 1)
    again = await visitor.ask("GET", f"/api/login?token={token}")
    assert (again.headers["Location"], again.cookies) == ("/api/login?login=used", [])
    assert (await visitor.ask("GET", "/api/login", Cookie=await visitor.cookie())).headers["Location"] == "/"


async def test_a_server_without_a_client_has_a_page_for_who_is_logged_in(data_dir: Path) -> None:
    async with (
        prepared_server(data_dir, GUARDED) as server,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        await server.start()
        visitor = Visitor(http, server)
        assert (await visitor.ask("GET", "/")).status == 401
        held = await visitor.cookie()
        inside = await visitor.ask("GET", "/", Cookie=held)
        assert (inside.status, "Log out" in inside.text) == (200, True)
        assert (await visitor.ask("GET", "/conversations/x", Cookie=held)).status == 404


async def test_an_open_server_asks_for_nothing_and_sets_nothing(server: Server) -> None:
    async with aiohttp.ClientSession() as http:
        visitor = Visitor(http, server)
        answer = await visitor.ask("GET", "/")
        assert (answer.status, answer.cookies, "asks for no key" in answer.text) == (200, [], True)
        answer = await visitor.ask("GET", "/?token=x")
        assert (answer.status, answer.cookies, answer.headers["Location"]) == (303, [], "/")
        answer = await visitor.send("/api/login", {"session_api_key": "any"})
        assert (answer.status, answer.cookies) == (303, [])
        assert (await visitor.ask("POST", "/api/login-link")).text == '{"token": null, "seconds": 900}'
        [line] = await server.logged("callers need no key", 1)
        assert line["level"] == "warning"
        assert not (server.data_dir / "session_api_key").exists()
