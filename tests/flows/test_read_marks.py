"""How far a user has read: marks by the socket and by REST, which only rise, and what counts as unread behind them."""

import pytest

from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client


async def answered(clients: Clients, *messages: str) -> Protocol2Client:
    """A client of a conversation in which these messages were answered."""
    client = clients.protocol2(await clients.rest.create())
    await client.connect()
    for message in messages:
        said = await client.say(message)
        await client.until_state("awaiting_user_input", after=said)
    return client


async def unread(clients: Clients, sid: str) -> int:
    found: int = (await clients.rest.describe(sid))["session"]["unread"]
    _, page = await clients.rest.ask("GET", "/api/conversations")
    assert [row["session"]["unread"] for row in page["results"] if row["conversation_id"] == sid] == [found]
    return found


async def test_a_mark_rises_by_the_socket_and_by_rest_alike(clients: Clients) -> None:
    client = await answered(clients, "$ echo one", "$ echo two", "$ echo three")
    sid = client.sid
    assert await unread(clients, sid) == 3
    [first, second, third] = [
        event["id"] for event in client.events if event["source"] == "agent" and event.get("action") == "message"
    ]
    assert await client.call("mark_read", {"event_id": first}) == {"ok": True, "event_id": first}
    assert await unread(clients, sid) == 2
    path = f"/api/conversations/{sid}/read"
    assert await clients.rest.ask("POST", path, {"event_id": second}) == (200, {"event_id": second})
    assert await unread(clients, sid) == 1
    for lower in (0, first, second):
        assert await clients.rest.ask("POST", path, {"event_id": lower}) == (200, {"event_id": second})
        assert (await client.call("mark_read", {"conversation_id": sid, "event_id": lower}))["event_id"] == second
    assert await unread(clients, sid) == 1
    assert await clients.rest.ask("POST", path, {"event_id": third}) == (200, {"event_id": third})
    assert await unread(clients, sid) == 0
    said = await client.say("$ echo four")
    await client.until_state("awaiting_user_input", after=said)
    assert await unread(clients, sid) == 1


async def test_a_turn_that_was_taken_back_still_counts(clients: Clients) -> None:
    client = await answered(clients, "$ echo one", "$ echo two")
    await client.command("undo")
    assert await unread(clients, client.sid) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "event_id"),
        ({"event_id": None}, "event_id"),
        ({"event_id": "1"}, "event_id"),
        ({"event_id": 1.5}, "event_id"),
        ({"event_id": -1}, "event_id"),
        ({"event_id": 10**6}, "event_id"),
        ({"event_id": 2**60}, "event_id"),
        ({"event_id": 1, "user": "bob"}, "user"),
    ],
    ids=str,
)
async def test_a_wrong_mark_is_named_by_its_field_and_changes_nothing(
    clients: Clients, body: dict[str, object], field: str
) -> None:
    client = await answered(clients, "$ echo one")
    status, told = await clients.rest.ask("POST", f"/api/conversations/{client.sid}/read", body)
    assert (status, told["code"], told["field"]) == (422, "bad_input", field)
    answer = await client.call("mark_read", body)
    assert (answer["ok"], answer["code"], answer["field"]) == (False, "bad_input", field)
    assert await unread(clients, client.sid) == 1


async def test_a_mark_in_a_conversation_that_is_unknown_or_deleted_is_not_found(clients: Clients) -> None:
    client = await answered(clients, "$ echo one")
    deleted = await clients.rest.create()
    await clients.rest.delete(deleted)
    for sid in ("unknown", deleted):
        status, told = await clients.rest.ask("POST", f"/api/conversations/{sid}/read", {"event_id": 0})
        assert (status, told["code"]) == (404, "not_found")
        assert (await client.call("mark_read", {"conversation_id": sid, "event_id": 0}))["code"] == "not_found"
