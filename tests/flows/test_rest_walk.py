"""Every route that the V0 client asks, in its order of use: method, path and body to status and the whole answer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.answer_shapes import ANY, mismatch, refused
from tests.support.event_summaries import state_of
from tests.support.running_server import running_server
from tests.support.server_clients import Clients, Rest

MAYBE = (str, None)
NO_PROVIDER = refused("no_provider_token")
MESSAGE = {"message": str}


def is_time(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 27 and value.endswith("Z")


def is_url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("/api/conversations/")


def conversation(**known: Any) -> dict[str, Any]:
    return {
        "conversation_id": str,
        "title": str,
        "last_updated_at": is_time,
        "status": "RUNNING",
        "runtime_status": "STATUS$READY",
        "selected_repository": None,
        "selected_branch": None,
        "git_provider": None,
        "trigger": "gui",
        "num_connections": int,
        "url": is_url,
        "session_api_key": None,
        "created_at": is_time,
        "pr_number": [],
        "conversation_version": "V0",
        "session": dict,
    } | known


def started(status: str, message: Any = None) -> dict[str, Any]:
    return {"status": "ok", "conversation_id": str, "message": message, "conversation_status": status}


SETTINGS: dict[str, Any] = {
    "language": "de",
    "agent": "CodeActAgent",
    "max_iterations": None,
    "security_analyzer": None,
    "confirmation_mode": False,
    "llm_model": "scripted:demo",
    "llm_api_key": None,
    "llm_base_url": None,
    "remote_runtime_resource_factor": None,
    "secrets_store": {"provider_tokens": {}},
    "enable_default_condenser": True,
    "enable_sound_notifications": False,
    "enable_proactive_conversation_starters": True,
    "enable_solvability_analysis": True,
    "user_consents_to_analytics": None,
    "sandbox_base_container_image": None,
    "sandbox_runtime_container_image": None,
    "mcp_config": None,
    "search_api_key": None,
    "sandbox_api_key": None,
    "max_budget_per_task": None,
    "condenser_max_size": None,
    "email": None,
    "email_verified": None,
    "git_user_name": None,
    "git_user_email": None,
    "provider_tokens_set": {},
    "llm_api_key_set": True,
    "search_api_key_set": False,
}
INFO = {
    "version": str,
    "sessions": int,
    "uptime": float,
    "idle_time": float,
    "resources": {
        "cpu_seconds": float,
        "cpu_percent": float,
        "memory": {"rss": int, "vms": int, "percent": float},
        "disk": {"total": int, "used": int, "free": int, "percent": float},
        "io": {"read_bytes": int, "write_bytes": int},
    },
}


@dataclass(frozen=True)
class Row:
    """`{id}` in a path is a conversation that runs, `{gone}` one that there is not."""

    asked: str
    status: int
    answer: Any
    body: Any = None


HOME = (
    Row("GET /api/settings", 404, refused("not_found", error="Settings not found")),
    Row(
        "GET /api/options/config",
        200,
        {
            "APP_MODE": "oss",
            "GITHUB_CLIENT_ID": "",
            "POSTHOG_CLIENT_KEY": str,
            "FEATURE_FLAGS": {"ENABLE_BILLING": False, "HIDE_LLM_SETTINGS": False},
        },
    ),
    Row("GET /api/options/models", 200, [str]),
    Row("GET /api/options/agents", 200, ["CodeActAgent", "ShellAgent"].__eq__),
    Row("GET /api/options/security-analyzers", 200, ["llm", "rules"].__eq__),
    Row("POST /api/settings", 200, {"message": "Settings stored"}, {"llm_api_key": "k", "llm_model": "scripted:demo"}),
    Row("POST /api/settings", 200, {"message": "Settings stored"}, {"language": "de", "agent": "CodeActAgent"}),
    Row("GET /api/settings", 200, SETTINGS),
    Row("POST /api/reset-settings", 410, refused("gone", error=str)),
    Row("GET /api/conversations?limit=20", 200, {"results": [conversation()], "next_page_id": None}),
    Row("GET /api/conversations?limit=1", 200, {"results": [conversation()], "next_page_id": str}),
    Row("GET /api/conversations?selected_repository=a/b", 200, {"results": [].__eq__, "next_page_id": None}),
    Row("GET /api/conversations?conversation_trigger=gui", 200, {"results": [conversation()], "next_page_id": None}),
    Row("GET /api/conversations?conversation_trigger=jira", 200, {"results": [].__eq__, "next_page_id": None}),
    Row("GET /api/microagent-management/conversations", 200, {"results": [].__eq__, "next_page_id": None}),
)
ONE = (
    Row("GET {id}", 200, conversation()),
    Row("GET {gone}", 200, None),
    Row("POST {id}/start", 200, started("RUNNING"), {"providers_set": ["github"]}),
    Row("POST {gone}/start", 404, refused("not_found", conversation_id=str), {"providers_set": []}),
    Row("PATCH {id}", 200, True, {"title": "A title"}),
    Row("GET {id}", 200, conversation(title="A title")),
    Row("PATCH {gone}", 404, refused("not_found", msg_id="CONVERSATION$NOT_FOUND"), {"title": "x"}),
    Row("GET {id}/config", 200, {"runtime_id": None, "session_id": str}),
    Row("GET {id}/vscode-url", 200, {"vscode_url": None}),
    Row("GET {id}/web-hosts", 200, {"hosts": {}}),
    Row("GET {id}/microagents", 200, {"microagents": []}),
    Row("GET {id}/remember-prompt?event_id=3", 200, {"status": "success", "prompt": str}),
    Row("POST {id}/exp-config", 200, bool, {}),
    Row(
        "POST {id}/submit-feedback",
        200,
        {
            "email": "a@b.c",
            "version": "1.0",
            "permissions": "private",
            "polarity": "positive",
            "feedback": "fine",
            "conversation_id": str,
            "timestamp": is_time,
            "statusCode": 200,
            "body": {"message": str, "feedback_id": str, "password": ""},
        },
        {"email": "a@b.c", "version": "1.0", "permissions": "private", "polarity": "positive", "feedback": "fine"},
    ),
    Row("GET {id}/events", 200, {"events": [dict], "has_more": False}),
    Row("GET {id}/events?start_id=1&end_id=2&limit=1", 200, {"events": [dict], "has_more": True}),
    Row("GET {id}/events?limit=101", 400, ANY),
    Row("GET {gone}/events", 404, refused("not_found")),
    Row("GET {id}/trajectory", 200, {"trajectory": [dict], "user_id": str, "total_cost": float}),
    Row("GET {gone}/trajectory", 404, ANY),
)
FILES = (
    Row("GET {id}/list-files", 200, [".git/", "notes.txt", "odd"].__eq__),
    Row("GET {id}/list-files?path=.git", 200, [str]),
    Row("GET {id}/select-file?file=notes.txt", 200, {"code": "one\n"}),
    Row("GET {id}/select-file?file=odd", 415, ANY),
    Row("GET {id}/select-file?file=none", 404, ANY),
    Row("GET {id}/git/changes", 200, [{"path": str, "status": ("A", "M", "D", "R", "U")}]),
    Row("GET {id}/git/diff?path=notes.txt", 200, {"original": "", "modified": "one\n"}),
)
LATER = (
    Row("GET /api/secrets", 200, {"custom_secrets": [].__eq__}),
    Row("POST /api/secrets", 201, MESSAGE, {"name": "A", "value": "v", "description": "d"}),
    Row("POST /api/secrets", 400, refused("already_exists"), {"name": "A", "value": "w"}),
    Row("GET /api/secrets", 200, {"custom_secrets": [{"name": "A", "description": "d"}]}),
    Row("PUT /api/secrets/A", 200, MESSAGE, {"name": "B", "description": "e"}),
    Row("PUT /api/secrets/A", 404, refused("not_found", error=str), {"name": "B", "description": "e"}),
    Row("DELETE /api/secrets/B", 200, MESSAGE),
    Row("DELETE /api/secrets/B", 404, refused("not_found", error=str)),
    *(Row(f"GET /api/user/{path}", 401, NO_PROVIDER) for path in ("info", "repositories", "installations")),
    *(Row(f"GET /api/user/search/{path}", 401, NO_PROVIDER) for path in ("repositories", "branches")),
    Row("GET /api/user/repository/branches", 401, NO_PROVIDER),
    Row("GET /api/user/repository/a/b/microagents", 401, NO_PROVIDER),
    Row("GET /api/user/repository/a/b/microagents/content", 401, NO_PROVIDER),
    Row("GET /api/user/suggested-tasks", 401, NO_PROVIDER),
    Row("POST /api/add-git-providers", 200, MESSAGE, {"provider_tokens": {"github": {"token": "t", "host": None}}}),
    Row("GET /api/settings", 200, SETTINGS | {"provider_tokens_set": {"github": None}}),
    Row("GET /api/usage", 200, {"user": str, "entries": [], "quotas": []}),
    Row("GET /api/usage?days=367", 422, ANY),
    Row("GET /api/usage?user=local", 200, ANY),
    Row("GET /api/user/info", 200, dict),
    Row("GET /api/user/repositories?sort=pushed", 200, [].__eq__),
    Row("GET /api/user/suggested-tasks", 200, [].__eq__),
    Row("POST /api/unset-provider-tokens", 200, MESSAGE),
    Row("GET /alive", 200, {"status": "ok"}),
    Row("GET /health", 200, "OK"),
    Row("GET /server_info", 200, INFO),
    *(Row(f"GET {path}", 404, refused("not_found")) for path in ("/api/keys", "/api/billing/credits", "/mcp/mcp")),
)
ENDING = (
    Row("POST {id}/stop", 200, started("RUNNING", str)),
    Row("GET {id}", 200, conversation(status="STOPPED", runtime_status=None, url=None)),
    Row("POST {id}/stop", 200, started("STOPPED", str)),
    Row("DELETE {id}", 200, True),
    Row("DELETE {id}", 200, False),
    Row("GET {id}", 200, None),
    Row("GET {id}/trajectory", 404, ANY),
)


async def test_every_route_answers_as_the_client_expects(data_dir: Path) -> None:
    async with running_server(data_dir) as server, Clients(server.url) as clients:
        sids = [await clients.rest.create() for _ in range(2)]
        await clients.until_ready(*sids)
        below = [f"/api/conversations/{sid}" for sid in sids]
        wrong = await _walked(clients.rest, (*HOME, *ONE), below[0])
        assert not wrong, "\n".join(wrong)
        status, answer = await clients.rest.ask("GET", f"{below[0]}/git/changes")
        assert status == 404
        assert not mismatch(refused("no_repository", error="Not a git repository"), answer)
        await _work(clients, below[0].rpartition("/")[2])
        wrong = await _walked(clients.rest, (*FILES, *LATER, *ENDING), below[0])
        assert not wrong, "\n".join(wrong)


async def test_events_are_picked_by_a_filter(clients: Clients) -> None:
    sid = await clients.rest.create("$ echo Needle; echo hay")
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    log = await clients.rest.events(sid)
    runs = [event["id"] for event in log if "run" in (event.get("action"), event.get("observation"))]
    users = [event["id"] for event in log if event["source"] == "user"]
    mid = log[len(log) // 2]["timestamp"]
    for wanted, ids in (
        ('{"include_types": ["run"]}', runs),
        ('{"include_types": ["action:run"]}', runs[:1]),
        ('{"exclude_types": ["run"], "include_types": ["run", "message"]}', None),
        ('{"source": "user"}', users),
        ('{"query": "needle", "include_types": ["observation:run"]}', runs[1:]),
        ('{"query": "nowhere to be found"}', []),
        (f'{{"start_date": "{mid}"}}', [event["id"] for event in log if event["timestamp"] >= mid]),
        (f'{{"end_date": "{mid}"}}', [event["id"] for event in log if event["timestamp"] <= mid]),
        ('{"start_date": "9999-12-31T00:00:00", "exclude_hidden": true}', []),
        ("{}", [event["id"] for event in log]),
    ):
        status, page = await clients.rest.ask("GET", f"/api/conversations/{sid}/events", filter=wanted, limit=100)
        found = [event["id"] for event in page["events"]]
        assert (status, page["has_more"]) == (200, False)
        assert found == ids if ids is not None else all(number not in runs for number in found), wanted
    path = f"/api/conversations/{sid}/events"
    _, page = await clients.rest.ask("GET", path, filter='{"include_types": ["run"]}', limit=1)
    assert ([event["id"] for event in page["events"]], page["has_more"]) == (runs[:1], True)
    _, page = await clients.rest.ask("GET", path, filter='{"include_types": ["run"]}', limit=1, reverse="true")
    assert ([event["id"] for event in page["events"]], page["has_more"]) == (runs[1:], True)


async def test_idle_time_begins_anew_with_all_work(clients: Clients) -> None:
    sid = await clients.rest.create("$ sleep 30")
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_event(lambda event: event.get("action") == "run")
    _, info = await clients.rest.ask("GET", "/server_info")
    assert info["idle_time"] == 0
    await client.order("stopped")
    await client.until_state("stopped")
    status, stopped = await clients.rest.ask("POST", f"/api/conversations/{sid}/stop")
    assert (status, stopped["status"]) == (200, "ok")
    _, info = await clients.rest.ask("GET", "/server_info")
    assert 0 < info["idle_time"] < info["uptime"], info


async def _work(clients: Clients, sid: str) -> None:
    """Something to look at in the workspace."""
    await clients.rest.ask("POST", "/api/settings", {"agent": "ShellAgent"})
    await clients.rest.ask("POST", f"/api/conversations/{sid}/stop")
    client = clients.v0(sid)
    await client.connect()
    await client.until_event(lambda event: bool(state_of(event)))
    await client.send(
        {"action": "message", "args": {"content": "$ git init -q .; echo one > notes.txt; printf '\\0' > odd"}}
    )
    ran = await client.until_event(lambda event: event.get("observation") == "run")
    await client.until_state("awaiting_user_input", after=ran["id"])
    await client.leave()
    await clients.rest.ask("POST", "/api/settings", {"language": "de", "agent": "CodeActAgent"})


async def _walked(rest: Rest, rows: tuple[Row, ...], below: str) -> list[str]:
    """What was not as it should be."""
    wrong = []
    for row in rows:
        method, _, path = row.asked.partition(" ")
        path = path.replace("{id}", below).replace("{gone}", "/api/conversations/" + "0" * 32)
        async with rest.http.request(method, f"{rest.url}{path}", json=row.body) as got:
            answer = await got.json()
            if got.status != row.status:
                wrong.append(f"{row.asked}: {got.status} {answer}")
            elif problem := mismatch(row.answer, answer):
                wrong.append(f"{row.asked}: {problem}")
            if "no-cache" not in got.headers.get("Cache-Control", ""):
                wrong.append(f"{row.asked}: may be cached")
    return wrong
