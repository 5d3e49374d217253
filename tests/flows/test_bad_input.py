"""Bad input over REST: the status, a JSON error that names the field, and nothing of it kept."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.ports.store import ConversationRow
from tests.support.answer_shapes import mismatch, refused
from tests.support.raw_socket import RawSocket
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.store_entries import NOW

BODY = "the body"
TASK = {"git_provider": "github", "task_type": "OPEN_PR", "repo": "a/b", "issue_number": 1, "title": "t"}

CREATE: list[tuple[Any, str | None]] = [
    ([], BODY),
    ("text", BODY),
    (7, BODY),
    ({"initial_user_mesage": "x"}, "initial_user_mesage"),
    ({"initial_user_msg": 7}, "initial_user_msg"),
    ({"initial_user_msg": "x" * 1_000_001}, "initial_user_msg"),
    ({"image_urls": "x"}, "image_urls"),
    ({"image_urls": [1]}, "image_urls.0"),
    ({"image_urls": ["x"] * 33}, "image_urls"),
    ({"conversation_instructions": []}, "conversation_instructions"),
    ({"repository": "ext::sh -c id"}, "repository"),
    ({"repository": "https://user:secret@example.org/a"}, "repository"),
    ({"repository": "file:///etc"}, "repository"),
    ({"repository": "a/../b"}, "repository"),
    ({"git_provider": "sourceforge"}, "git_provider"),
    ({"selected_branch": "--upload-pack=x"}, "selected_branch"),
    ({"suggested_task": "x"}, "suggested_task"),
    ({"suggested_task": {**TASK, "task_type": "DANCE"}}, "suggested_task.task_type"),
    ({"suggested_task": {**TASK, "issue_number": "x"}}, "suggested_task.issue_number"),
    ({"suggested_task": {**TASK, "repo": "a/../b"}}, "repository"),
    ({"suggested_task": {**TASK, "git_provider": "sourceforge"}}, "git_provider"),
    ({"create_microagent": {}}, "create_microagent.repo"),
    ({"create_microagent": {"repo": "a/b", "title": "t" * 201}}, "create_microagent.title"),
    ({"mcp_config": []}, "mcp_config"),
    ({"mcp_config": {"servers": []}}, "mcp_config.servers"),
    ({"mcp_config": {"sse_servers": [{"url": 7}]}}, None),
    ({"settings": []}, "settings"),
    ({"settings": {"llm_modle": "x"}}, "llm_modle"),
    ({"settings": {"max_iterations": 0}}, "max_iterations"),
    ({"settings": {"custom_secrets": {"a b": {"value": "x"}}}}, None),
    ({"init_repository": "perhaps"}, "init_repository"),
    ({"replay_json": 7}, "replay_json"),
]
"""Bodies of a create, and the field that is wrong; None where it is somewhere below."""

BELOW: list[tuple[str, Any, int, str]] = [
    ("PATCH ", {"title": ""}, 422, "title"),
    ("PATCH ", {"title": "   "}, 422, "title"),
    ("PATCH ", {"title": "t" * 201}, 422, "title"),
    ("PATCH ", {"title": None}, 422, "title"),
    ("PATCH ", {"title": "x", "more": 1}, 422, "more"),
    ("POST /start", {"providers_set": "github"}, 422, "providers_set"),
    ("POST /message", {}, 422, "message"),
    ("POST /message", {"message": 7}, 422, "message"),
    ("POST /events", {"action": "launch"}, 422, "action"),
    ("POST /events", {"action": "message", "args": {"content": 7}}, 422, "args.content"),
    ("POST /events", {"action": "change_agent_state", "args": {"agent_state": "x"}}, 422, "args.agent_state"),
    ("POST /submit-feedback", {"polarity": "middling"}, 422, "polarity"),
    ("GET /events?limit=101", None, 400, "limit"),
    ("GET /events?limit=0", None, 400, "limit"),
    ("GET /events?limit=x", None, 400, "limit"),
    ("GET /events?limit=99999999999999999999999", None, 400, "limit"),
    ("GET /events?start_id=-1", None, 422, "start_id"),
    ("GET /events?end_id=x", None, 422, "end_id"),
    ("GET /events?filter=x", None, 422, "filter"),
    ("GET /events?filter=[]", None, 422, "filter"),
    ('GET /events?filter={"source":"nobody"}', None, 422, "filter.source"),
    ('GET /events?filter={"sauce":"user"}', None, 422, "filter.sauce"),
    ('GET /events?filter={"start_date":"soon"}', None, 422, "filter.start_date"),
    ("GET /remember-prompt?event_id=x", None, 422, "event_id"),
    ("GET /list-files?path=../..", None, 422, "path"),
    ("GET /list-files?path=/etc", None, 422, "path"),
    ("GET /select-file?file=../../sessions.db", None, 422, "file"),
    ("GET /select-file?file=/etc/passwd", None, 422, "file"),
    ("GET /zip-directory?path=..", None, 422, "path"),
    ("GET /git/diff?path=../x", None, 422, "path"),
    ("POST /upload-files", {}, 422, BODY),
]
ELSEWHERE: list[tuple[str, Any, int, str]] = [
    ("GET /api/conversations?limit=0", None, 422, "limit"),
    ("GET /api/conversations?limit=101", None, 422, "limit"),
    ("GET /api/conversations?limit=1e3", None, 422, "limit"),
    ("GET /api/conversations?page_id=x", None, 422, "page_id"),
    ("GET /api/conversations?page_id=eyJ2MCI6WyJ4IiwieCJdfQ==", None, 422, "page_id"),
    ("GET /api/conversations?conversation_trigger=smoke", None, 422, "conversation_trigger"),
    ("GET /api/microagent-management/conversations?limit=-1", None, 422, "limit"),
    ("POST /api/settings", {"llm_modle": "m"}, 422, "llm_modle"),
    ("POST /api/settings", {"language": "de", "max_iterations": 0}, 422, "max_iterations"),
    ("POST /api/settings", {"confirmation_mode": {}}, 422, "confirmation_mode"),
    ("POST /api/settings", {"mcp_config": 7}, 422, "mcp_config"),
    ("POST /api/secrets", {"value": "v"}, 422, "name"),
    ("POST /api/secrets", {"name": "a-b", "value": "v"}, 422, "name"),
    ("POST /api/secrets", {"name": "A", "value": 7}, 422, "value"),
    ("PUT /api/secrets/A", {"name": "B", "value": "v"}, 422, "value"),
    ("POST /api/add-git-providers", {}, 422, "provider_tokens"),
    ("POST /api/add-git-providers", {"provider_tokens": {"gitbub": {}}}, 422, "provider_tokens.gitbub"),
    ("POST /api/add-git-providers", {"provider_tokens": {"github": "t"}}, 422, "provider_tokens.github"),
]
BODIES = (
    "POST /api/conversations",
    "PATCH {id}",
    "POST {id}/start",
    "POST {id}/message",
    "POST {id}/events",
    "POST {id}/submit-feedback",
    "POST /api/settings",
    "POST /api/secrets",
    "PUT /api/secrets/A",
    "POST /api/add-git-providers",
)
NOT_JSON = (b"{", b"{'a': 1}", b"\xff", b'{"a": NaN}', b"[" * 50_000, b'{"a": "\xed\xa0\x80"}')


@pytest.fixture
def server(shared_server: Server) -> Server:
    return shared_server


async def test_what_is_wrong_is_named_and_nothing_of_it_is_kept(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create()
    client = clients.v0(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    await clients.rest.ask("GET", f"/api/conversations/{sid}/list-files")
    before = _kept(server.data_dir)
    wrong = []
    cases = [
        *(("POST /api/conversations", body, 422, field) for body, field in CREATE),
        *((asked.replace(" ", f" /api/conversations/{sid}", 1), *more) for asked, *more in BELOW),
        *ELSEWHERE,
    ]
    for asked, body, status, field in cases:
        method, _, path = asked.partition(" ")
        got, answer = await clients.rest.ask(method, path, body)
        named = answer.get("field")
        if got != status or (named != field and (field is not None or not named)) or not answer.get("message"):
            wrong.append((asked[:60], str(body)[:80], got, answer))
        assert str(server.data_dir) not in str(answer)
    assert not wrong, "\n".join(map(str, wrong))
    assert _kept(server.data_dir) == before
    assert (await clients.rest.ask("GET", "/api/settings"))[0] == 404
    assert "a request failed" not in server.log


async def test_a_body_that_is_no_json_is_refused_by_every_route_that_takes_one(
    server: Server, clients: Clients
) -> None:
    below = f"/api/conversations/{await clients.rest.create()}"
    for asked in BODIES:
        method, _, path = asked.replace("{id}", below).partition(" ")
        for body in NOT_JSON:
            async with clients.rest.http.request(method, f"{server.url}{path}", data=body) as got:
                answer = await got.json()
                assert (got.status, answer["code"], answer["field"]) == (422, "bad_input", BODY), (asked, body[:9])
    assert "a request failed" not in server.log


async def test_unknown_ids_and_those_of_somebody_else_are_answered_alike(data_dir: Path) -> None:
    theirs = "their-conversation"
    data_dir.mkdir()
    async with open_sqlite(data_dir / "sessions.db") as store:
        row = ConversationRow(id=ConversationId(theirs), owner=OwnerId("ada"), created_at=NOW, updated_at=NOW)
        await store.conversations.create(row)
    async with running_server(data_dir) as server, Clients(server.url) as clients:
        answers = []
        for sid in (theirs, "unknown-conversati", ".." + "%2F" * 3, "%00" * 6):
            found = []
            for asked in (*(each[0] for each in BELOW if "?" not in each[0]), "GET ", "GET /trajectory", "DELETE "):
                method, _, path = asked.partition(" ")
                body: Any = (
                    None if method in ("GET", "DELETE") else {"title": "x", "message": "x", "polarity": "positive"}
                )
                if path in ("/start", "/events"):
                    body = {} if path == "/start" else {"action": "message", "args": {"content": "x"}}
                url = f"{server.url}/api/conversations/{sid}{path}"
                async with clients.rest.http.request(method, url, json=body if path != "" else {"title": "x"}) as got:
                    found.append((asked, got.status, (await got.text()).replace(theirs, "unknown-conversati")))
            answers.append(found)
        assert answers[0] == answers[1]
        statuses = [[status for _, status, _ in found] for found in answers]
        assert statuses[0] == statuses[1] == statuses[2] == statuses[3]
        assert set(statuses[0]) == {200, 404}
        assert (await clients.rest.ask("GET", "/api/conversations"))[1]["results"] == []


async def test_what_is_too_large_is_refused_before_it_is_read(data_dir: Path) -> None:
    async with (
        running_server(data_dir, {"OHS_LIMITS__MESSAGE_BYTES": "10000"}) as server,
        Clients(server.url) as clients,
    ):
        below = f"/api/conversations/{await clients.rest.create()}"
        for asked in BODIES[1:]:  # the first may bring a whole trajectory
            method, _, path = asked.replace("{id}", below).partition(" ")
            async with clients.rest.http.request(method, f"{server.url}{path}", data=b" " * 100_000) as got:
                assert (got.status, got.content_type) == (413, "application/json"), asked
                told = await got.json()
                assert (told["code"], told["limit"]) == ("too_large", 10_000), asked
        assert (await clients.rest.ask("GET", "/alive"))[0] == 200


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/conversation", "/api/conversations/x/nothing", "/api/v1/x"])
async def test_unknown_paths_are_refused_as_everything_is(clients: Clients, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        status, told = await clients.rest.ask(method, path)
        assert status in (404, 405)
        assert not mismatch(refused("not_found" if status == 404 else "method_not_allowed"), told)


async def test_a_method_that_a_route_does_not_take_is_told_those_that_it_takes(clients: Clients) -> None:
    async with clients.rest.http.delete(f"{clients.rest.url}/api/conversations") as got:
        assert (got.status, got.headers["Allow"]) == (405, "GET,HEAD,POST")
        told = await got.json()
        assert not mismatch(refused("method_not_allowed"), told)
        assert told["message"].endswith("takes GET, HEAD, POST")


async def test_a_foreign_host_name_is_refused_as_everything_is(clients: Clients) -> None:
    async with clients.rest.http.get(f"{clients.rest.url}/alive", headers={"Host": "evil.example"}) as got:
        assert got.status == 403
        assert not mismatch(refused("foreign_host"), await got.json())


@pytest.mark.parametrize(
    ("asked", "body", "field", "message"),
    [
        ("POST /api/conversations", {"intial_user_msg": "x"}, "intial_user_msg", "did you mean 'initial_user_msg'?"),
        ("POST /api/conversations", {"nonsense": "x"}, "nonsense", "nonsense is not known"),
        ("POST /api/secrets", {"name": "A", "valu": "x"}, "valu", "did you mean 'value'?"),
        ("POST {id}/events", {"action": "message", "arg": {}}, "args", "args is required, and 'arg' is not known"),
        ("POST {id}/message", {"mesage": "x"}, "mesage", "did you mean 'message'?"),
    ],
)
async def test_an_unknown_key_of_a_body_is_refused_with_the_nearest(
    clients: Clients, asked: str, body: dict[str, Any], field: str, message: str
) -> None:
    method, _, path = asked.replace("{id}", f"/api/conversations/{await clients.rest.create()}").partition(" ")
    status, told = await clients.rest.ask(method, path, body)
    assert (status, told["code"], told["field"]) == (422, "bad_input", field)
    assert told["message"].endswith(message)


async def test_an_unknown_key_of_auth_is_refused_with_the_nearest(clients: Clients) -> None:
    raw = RawSocket(clients.rest.http, clients.rest.url)
    await raw.open()
    try:
        told = await raw.connect('{"protocol":2,"conversation":"x"}')
    finally:
        await raw.close()
    assert told.startswith("44")
    assert json.loads(told[2:])["message"] == "conversation is not known; did you mean 'conversation_id'?"


def _kept(data_dir: Path) -> tuple[list[Any], list[str]]:
    """Every row and event, and every file of a user."""
    with sqlite3.connect(f"file:{data_dir / 'sessions.db'}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT id, title, settings FROM conversations").fetchall()
        rows += database.execute("SELECT count(*) FROM events").fetchall()
    files = sorted(str(path) for path in (data_dir / "files").rglob("*") if path.is_file())
    return rows, files
