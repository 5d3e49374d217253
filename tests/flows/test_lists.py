"""The list of a user's conversations over the socket: a snapshot, then every change, numbered, of its own alone."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.bootstrap.application import remote
from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.ports.store import ConversationRow
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.socket_connection import ConnectionRefused
from tests.support.stalled_client import StalledClient
from tests.support.token_keys import SECRET, by_secret

TOKENS = {"OHS_AUTH__KIND": "tokens", "OHS_AUTH__SECRET": SECRET}
SOON = 10.0
"""Seconds until a token expires that is to be used before."""
LONGEST = 200
MEGABYTES = 30.0
ASKING = """\
name: asking
replies:
  - when: first
    steps:
      - {call: execute_bash, with: {command: echo one}}
      - {say: "One."}
"""


@pytest.fixture
async def guarded(data_dir: Path) -> AsyncIterator[Server]:
    async with running_server(data_dir, TOKENS) as server:
        yield server


async def stored_rows(data_dir: Path, count: int) -> list[str]:
    """Conversations without events, the newest first."""
    data_dir.mkdir(parents=True, exist_ok=True)
    moment = datetime.now(UTC) - timedelta(days=1)
    sids = [f"stored-{number:03}" for number in range(count)]
    async with open_sqlite(data_dir / "sessions.db") as store:
        for number, sid in enumerate(sids):
            at = moment + timedelta(seconds=number)
            row = ConversationRow(
                id=ConversationId(sid), owner=LOCAL_OWNER, created_at=at, updated_at=at, title="x" * 200
            )
            await store.conversations.create(row)
    return sids[::-1]


async def test_a_list_shows_each_change_of_each_conversation(server: Server, clients: Clients) -> None:
    listing = clients.list()
    await listing.connect()
    await listing.until_snapshots(1)
    assert listing.snapshots[0] == {"number": 0, "conversations": [], "more": False, "next_page_id": None}
    sid = await clients.rest.create(llm_model=server.script("asking", ASKING), confirmation_mode=True)
    await listing.until_row(sid, state="Ready", agent_state="awaiting_user_input", unread=0, cost=0.0)
    client = clients.protocol2(sid)
    await client.connect()
    said = await client.say("first")
    await listing.until_row(sid, processing=True)
    asked = await client.until_state("awaiting_user_confirmation", after=said)
    row = await listing.until_row(sid, agent_state="awaiting_user_confirmation", unread=1)
    assert row["session"]["pending"] is not None
    await client.command("message", content="later", mode="queue")
    await listing.until_row(sid, queued=1)
    await client.command("remove_queued_message", id=client.last)
    await listing.until_row(sid, queued=0)
    await client.order("user_confirmed")
    await client.until_state("awaiting_user_input", after=asked["id"])
    row = await listing.until_row(sid, agent_state="awaiting_user_input", processing=False, pending=None, unread=2)
    assert row["session"]["cost"] == (await clients.rest.describe(sid))["session"]["cost"]
    await clients.rest.ask("PATCH", f"/api/conversations/{sid}", {"title": "Renamed"})
    await listing.until_row(sid, title="Renamed")
    await clients.rest.ask("POST", f"/api/conversations/{sid}/stop")
    await listing.until_row(sid, state=None, status="STOPPED", unread=2)
    _, page = await clients.rest.ask("GET", "/api/conversations")
    await listing.until(lambda: [listing.rows[sid]] == page["results"])
    await clients.rest.delete(sid)
    await listing.until(lambda: not listing.rows)
    gone = listing.changes[-1]
    assert (gone["conversation_id"], gone["removed"], gone["conversation"]) == (sid, True, None)
    assert (listing.faults, len(listing.snapshots)) == ([], 1)


async def test_a_client_that_has_seen_a_gap_gets_a_snapshot_and_the_numbers_go_on(clients: Clients) -> None:
    listing = clients.list()
    await listing.connect()
    sid = await clients.rest.create()
    await listing.until_row(sid, state="Ready")
    assert await listing.call("renew_list", {}) == {"ok": True}
    await listing.until_snapshots(2)
    await clients.rest.ask("PATCH", f"/api/conversations/{sid}", {"title": "Renamed"})
    await listing.until_row(sid, title="Renamed")
    assert listing.faults == []


async def test_of_more_conversations_than_a_snapshot_has_pages_give_the_rest(data_dir: Path) -> None:
    sids = await stored_rows(data_dir, LONGEST + 5)
    async with running_server(data_dir) as server, Clients(server.url) as clients:
        listing = clients.list()
        await listing.connect()
        await listing.until_snapshots(1)
        [first] = listing.snapshots
        assert list(listing.rows) == sids[:LONGEST]
        assert first["more"]
        _, rest = await clients.rest.ask("GET", "/api/conversations", page_id=first["next_page_id"])
        assert [row["conversation_id"] for row in rest["results"]] == sids[LONGEST:]
        assert rest["next_page_id"] is None
        oldest = sids[-1]
        await clients.rest.ask("PATCH", f"/api/conversations/{oldest}", {"title": "Renamed"})
        await listing.until_row(oldest, title="Renamed")


async def test_each_user_follows_its_own_list(guarded: Server) -> None:
    keys = [by_secret(sub=name, role=role) for name, role in (("ada", "user"), ("bob", "user"), ("root", "admin"))]
    async with (
        Clients(guarded.url, key=keys[0]) as ada,
        Clients(guarded.url, key=keys[1]) as bob,
        Clients(guarded.url, key=keys[2]) as root,
        Clients(guarded.url) as anonymous,
    ):
        lists = [each.list() for each in (ada, bob, root)]
        for listing in lists:
            await listing.connect()
        with pytest.raises(ConnectionRefused) as refused:
            await anonymous.list().connect()
        assert refused.value.told["data"]["code"] == "unauthorized"
        sid = await ada.rest.create("$ echo ada")
        await lists[0].until_row(sid, unread=1)
        for place, other in ((1, bob), (2, root)):
            own = await other.rest.create()
            await lists[place].until_row(own, state="Ready")
            answer = await lists[place].call("mark_read", {"conversation_id": sid, "event_id": 0})
            assert answer["code"] == "not_found"
            assert {change["conversation_id"] for change in lists[place].changes} == {own}
            assert [listing.faults for listing in lists] == [[], [], []]


async def test_a_token_that_expires_ends_the_list_with_a_reason(guarded: Server) -> None:
    async with Clients(guarded.url, key=by_secret(exp=time.time() + SOON)) as clients:
        listing, renewed = clients.list(), clients.list()
        await listing.connect()
        await renewed.connect()
        assert await renewed.call("authenticate", {"token": by_secret()}) == {"ok": True}
        answer = await renewed.call("authenticate", {"token": by_secret(sub="bob")})
        assert answer["code"] == "unauthorized"
        await listing.until_gone()
        assert listing.ended == ["expired"]
        assert listing.dismissed
        assert renewed.ended == []
        assert await renewed.call("renew_list", {}) == {"ok": True}


async def test_a_list_that_is_followed_from_another_process_ends_with_its_token(guarded: Server) -> None:
    async with (
        remote(guarded.url, by_secret(exp=time.time() + SOON)) as access,
        access.conversations.follow_list() as followed,
    ):
        with pytest.raises(Unauthorized, match="has expired"):
            async for _ in followed.items():
                pass


async def test_marks_and_the_list_are_there_after_a_restart(data_dir: Path) -> None:
    async with running_server(data_dir) as server, Clients(server.url) as clients:
        listing = clients.list()
        await listing.connect()
        sids = [await clients.rest.create(f"$ echo {number}") for number in range(2)]
        for sid in sids:
            await listing.until_row(sid, unread=1, state="Ready", processing=False)
        head = await clients.rest.head(sids[0])
        assert await listing.call("mark_read", {"conversation_id": sids[0], "event_id": head}) == {
            "ok": True,
            "event_id": head,
        }
        await listing.until_row(sids[0], unread=0)
        await server.stopped()
        await listing.until_gone()
        assert listing.ended == ["shutdown"]
        assert not listing.dismissed
        await server.start()
        listing.url = clients.rest.url = server.url
        await listing.connect()
        await listing.until_snapshots(2)
        assert [listing.rows[sid]["session"]["unread"] for sid in sids] == [0, 1]
        assert await listing.call("mark_read", {"conversation_id": sids[0], "event_id": 0}) == {
            "ok": True,
            "event_id": head,
        }


@pytest.mark.parametrize(
    ("name", "values", "field"),
    [
        ("oh_user_action", [{"action": "message", "args": {"content": "hi"}}], "the event"),
        ("no_such", [{}], "the event"),
        ("renew_list", [], "renew_list"),
        ("renew_list", [{}, {}], "renew_list"),
        ("renew_list", [7], "the payload"),
        ("renew_list", [{"x": 1}], "x"),
        ("mark_read", [{"event_id": 0}], "conversation_id"),
        ("mark_read", [{"conversation_id": "../x", "event_id": 0}], "conversation_id"),
        ("mark_read", [{"conversation_id": 7, "event_id": 0}], "conversation_id"),
        ("mark_read", [{"conversation_id": "talk"}], "event_id"),
        ("mark_read", [{"conversation_id": "talk", "event_id": -1}], "event_id"),
        ("mark_read", [{"conversation_id": "talk", "event_id": "3"}], "event_id"),
        ("authenticate", [{}], "token"),
    ],
    ids=str,
)
async def test_bad_input_is_named_and_the_list_goes_on(
    clients: Clients, name: str, values: list[object], field: str
) -> None:
    listing = clients.list()
    await listing.connect()
    answer = await listing.call(name, *values)
    assert (answer["ok"], answer["code"], answer["field"]) == (False, "bad_input", field), answer
    assert await listing.call("renew_list", {}) == {"ok": True}
    await listing.until_snapshots(2)


@pytest.mark.parametrize("more", [{"after": 3}, {"epoch": "x"}, {"create": True}, {"conversation_id": ""}], ids=str)
async def test_what_belongs_to_a_conversation_is_refused_without_one(clients: Clients, more: dict[str, object]) -> None:
    with pytest.raises(ConnectionRefused) as refused:
        await clients.list().connect(**more)
    assert refused.value.told["data"]["code"] == "bad_input"
    assert "conversation_id" in refused.value.told["message"]


async def test_a_client_that_asks_over_and_over_and_never_reads_costs_little(data_dir: Path) -> None:
    await stored_rows(data_dir, LONGEST)
    limits = {"OHS_LIMITS__SLOW_CLIENT_GRACE": "2", "OHS_LIMITS__MESSAGES_PER_SECOND": "0"}
    async with running_server(data_dir, limits) as server, Clients(server.url) as clients:
        listing = clients.list()
        await listing.connect()
        await listing.until_snapshots(1)
        stalled = StalledClient(server.url, None)
        try:
            await stalled.connect()
            before = most = server.memory()
            while "client cut" not in server.log:  # the system's buffers take some snapshots
                await stalled.flood('42["renew_list",{}]', 50)
                asked = len(listing.snapshots) + 1
                assert await listing.call("renew_list", {}) == {"ok": True}
                await listing.until_snapshots(asked)
                most = max(most, server.memory())
        except ConnectionError:
            assert "client cut" in server.log
        finally:
            await stalled.close()
        print(f"memory {before:.0f} MB, at most {most:.0f} MB")
        assert most - before < MEGABYTES
        sid = await clients.rest.create()
        await listing.until_row(sid, state="Ready")
        assert listing.faults == []
