"""The REST side: conversations from their making to their end, and their logs by page."""

from typing import Any

from tests.support.event_summaries import state_of
from tests.support.server_clients import Clients, Rest


async def test_a_conversation_is_made_listed_renamed_and_deleted(clients: Clients) -> None:
    rest = clients.rest
    made = [await rest.create() for _ in range(5)]
    client = clients.protocol2(made[2])
    await client.connect()
    await client.until_state("awaiting_user_input")
    assert await _listed(rest) == list(reversed(made))
    shown = await rest.describe(made[2])
    assert shown["conversation_id"] == made[2]
    assert shown["title"] == f"Conversation {made[2][:5]}"
    assert (shown["status"], shown["runtime_status"]) == ("RUNNING", "STATUS$READY")
    assert shown["conversation_version"] == "V0"
    assert shown["num_connections"] == 1

    assert await rest.ask("PATCH", f"/api/conversations/{made[2]}", {"title": "  Renamed "}) == (200, True)
    await client.until(lambda: any(status.get("conversation_title") for status in client.statuses))
    assert client.statuses[-1] == {
        "status_update": True,
        "type": "info",
        "message": made[2],
        "conversation_title": "Renamed",
    }
    assert (await rest.describe(made[2]))["title"] == "Renamed"

    assert await rest.delete(made[2]) is True
    assert await rest.delete(made[2]) is False
    assert await rest.describe(made[2]) is None
    assert made[2] not in await _listed(rest)


async def test_what_cannot_be_done_is_answered_with_a_status_and_a_code(clients: Clients) -> None:
    ask = clients.rest.ask
    cases: list[tuple[str, str, Any, int, str | None]] = [
        ("POST", "", {"settings": {"llm_modle": "x"}}, 422, "llm_modle is not a setting; did you mean 'llm_model'?"),
        ("POST", "", {"settings": {"max_iterations": 0}}, 422, None),
        ("POST", "", {"initial_user_mesage": "x"}, 422, None),
        ("POST", "", [1], 422, None),
        ("POST", "", {"repository": "ext::sh -c id"}, 422, None),
        ("PATCH", "/none", {"title": "x"}, 404, None),
        ("GET", "/none/events", None, 404, None),
        ("GET", "/..%2F..%2Fetc/events", None, 404, None),
        ("GET", "/none/trajectory", None, 404, None),
        ("POST", "/none/start", None, 404, None),
        ("GET", "?limit=x", None, 422, None),
        ("GET", "?page_id=x", None, 422, None),
        ("PUT", "", None, 405, None),
    ]
    for method, path, body, status, message in cases:
        got, answer = await ask(method, f"/api/conversations{path}", body)
        assert got == status, (method, path, answer)
        assert message is None or answer["message"] == message
        assert "Traceback" not in str(answer)


async def test_a_log_is_read_by_page_from_both_ends_and_as_a_whole(clients: Clients) -> None:
    rest = clients.rest
    sid = await rest.create()
    client = clients.protocol2(sid)
    await client.connect()
    for number in range(12):
        said = await client.say(f"$ echo {number}")
        await client.until_state("awaiting_user_input", after=said)
    log = client.events
    assert len(log) > 70
    assert await rest.events(sid) == log
    forward = await _pages(rest, sid, limit=7)
    assert forward == log
    assert await _pages_back(rest, sid, limit=7) == log[::-1]
    path = f"/api/conversations/{sid}/events"
    assert (await rest.ask("GET", path, start_id=5, end_id=9))[1] == {"events": log[5:10], "has_more": False}
    assert (await rest.ask("GET", path, reverse="true", limit=2))[1] == {"events": log[:-3:-1], "has_more": True}
    assert (await rest.ask("GET", path, start_id=10**6))[1] == {"events": [], "has_more": False}
    assert (await rest.ask("GET", path, limit=101))[0] == 400
    assert (await rest.ask("GET", f"/api/conversations/{sid}/trajectory"))[1] == {
        "trajectory": log,
        "user_id": "local",
        "total_cost": 0.0,
    }


async def test_a_stopped_conversation_is_started_again_and_has_kept_its_log(clients: Clients) -> None:
    rest = clients.rest
    sid = await rest.create("$ echo kept")
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    _, answer = await rest.ask("POST", f"/api/conversations/{sid}/stop")
    assert (answer["status"], answer["conversation_status"]) == ("ok", "RUNNING")
    await client.until_gone()
    before = await rest.events(sid)
    shown = await rest.describe(sid)
    assert (shown["status"], shown["runtime_status"]) == ("STOPPED", None)
    status, answer = await rest.ask("POST", f"/api/conversations/{sid}/start", {"providers_set": []})
    assert (status, answer["status"], answer["conversation_id"]) == (200, "ok", sid)
    await client.connect()
    await client.until_state("awaiting_user_input", after=before[-1]["id"])
    assert client.events == await rest.events(sid)
    assert client.events[: len(before)] == before
    assert [state_of(event) for event in before if state_of(event)][-1] == "stopped"


async def _listed(rest: Rest) -> list[str]:
    """Every conversation's id, by pages of two."""
    found: list[str] = []
    more: dict[str, str] = {}
    while True:
        _, page = await rest.ask("GET", "/api/conversations", limit=2, **more)
        found += [each["conversation_id"] for each in page["results"]]
        if page["next_page_id"] is None:
            return found
        more = {"page_id": page["next_page_id"]}


async def _pages(rest: Rest, sid: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        _, page = await rest.ask("GET", f"/api/conversations/{sid}/events", start_id=len(found), limit=limit)
        assert len(page["events"]) <= limit
        found += page["events"]
        if not page["has_more"]:
            return found


async def _pages_back(rest: Rest, sid: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    end: dict[str, int] = {}
    while True:
        path = f"/api/conversations/{sid}/events"
        _, page = await rest.ask("GET", path, reverse="true", limit=limit, **end)
        found += page["events"]
        if not page["has_more"]:
            return found
        end = {"end_id": found[-1]["id"] - 1}
