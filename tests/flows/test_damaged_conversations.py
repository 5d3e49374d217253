"""A conversation whose stored events are damaged: its users hear of it, the rest can be read, others go on."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from openhands_sessions.core.events.observations import DAMAGED_ID
from openhands_sessions.core.ids import ConversationId
from tests.support.command_line import CommandLine
from tests.support.running_server import Server, prepared_server
from tests.support.server_clients import Clients
from tests.support.store_damage import damage_database


async def spoken(server: Server, clients: Clients, text: str) -> str:
    """A conversation in which the shell has answered."""
    sid = await clients.rest.create(f"$ echo {text}")
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    await client.leave()
    return sid


@pytest.mark.parametrize("newest", [False, True], ids=["event 2", "the newest event"])
async def test_the_users_of_a_damaged_conversation_hear_of_it_and_read_the_rest(data_dir: Path, newest: bool) -> None:
    async with prepared_server(data_dir) as server:
        await server.start()
        async with Clients(server.url) as clients:
            sid, sound = await spoken(server, clients, "first"), await spoken(server, clients, "second")
            before, others = await clients.rest.events(sid), await clients.rest.events(sound)
        await server.stopped()
        bad = before[-1]["id"] if newest else 2
        damage_database(data_dir / "sessions.db", ConversationId(sid), bad)
        await forget_snapshots(data_dir)
        await server.start()
        async with Clients(server.url) as clients:
            for reverse in (False, True):
                status, told = await clients.rest.ask(
                    "GET", f"/api/conversations/{sid}/events", limit=100, reverse=str(reverse).lower()
                )
                shown = told["events"][::-1] if reverse else told["events"]
                assert status == 200
                assert [event["id"] for event in shown] == [event["id"] for event in before]
                assert [event for event in shown if event["id"] != bad] == [
                    event for event in before if event["id"] != bad
                ]
                assert (shown[bad]["observation"], shown[bad]["extras"]["error_id"]) == ("error", DAMAGED_ID)
                assert f"event {bad} of this conversation is damaged" in shown[bad]["content"]
            assert (await clients.rest.describe(sid))["session"]["head"] == before[-1]["id"]
            status, exported = await clients.rest.ask("GET", f"/api/conversations/{sid}/trajectory")
            assert status == 200
            assert shown[bad] in exported["trajectory"]
            client = clients.protocol2(sid)
            await client.connect()
            await client.until(lambda: any("damaged" in str(told.get("message")) for told in client.statuses))
            await client.until_id(before[-1]["id"])
            assert client.ids == [event["id"] for event in before]
            status, refused = await clients.rest.ask("POST", f"/api/conversations/{sid}/message", {"message": "go on"})
            assert (status, refused["code"]) == (500, "damaged_record")
            assert "restore a backup" in refused["message"]
            assert await clients.rest.events(sound) == others
            again = clients.protocol2(sound)
            await again.connect()
            await again.until_state("awaiting_user_input")
            said = await again.say("$ echo third")
            await again.until_state("awaiting_user_input", after=said)
            assert (await clients.rest.ask("GET", "/health/ready"))[0] == 200
            assert await clients.rest.delete(sid)
        await server.stopped()
        lines = [json.loads(line) for line in server.log.splitlines()]
        assert [line["conversation_id"] for line in lines if line["event"] == "a conversation is damaged"] == [sid]
        assert "Traceback" not in server.log


async def forget_snapshots(data_dir: Path) -> None:
    """So that the log is folded whole."""
    with closing(sqlite3.connect(data_dir / "sessions.db")) as connection:
        connection.execute("DELETE FROM snapshots")
        connection.commit()


async def test_a_check_of_the_store_needs_a_stopped_server_and_lists_what_is_damaged(data_dir: Path) -> None:
    shell = CommandLine(data_dir)
    missing = await shell.run("store", "check")
    assert (missing.code, missing.err) == (1, "error: there is no database sessions.db\n")
    async with prepared_server(data_dir) as server:
        await server.start()
        async with Clients(server.url) as clients:
            sid = await spoken(server, clients, "first")
        refused = await shell.run("store", "check")
        assert (refused.code, refused.out) == (1, "")
        assert f"another server runs on this data folder: process {server.pid}" in refused.err
        await server.stopped()
    sound = await shell.run("store", "check")
    assert (sound.code, sound.out.splitlines()[-1]) == (0, "nothing is damaged")
    damage_database(data_dir / "sessions.db", ConversationId(sid), 1, 2)
    damaged = await shell.run("store", "check")
    assert damaged.code == 1
    assert f"{sid}: events 1 to 2 are damaged" in damaged.out
    told = json.loads((await shell.run("store", "check", "--json")).out)
    assert (told["ok"], told["problem"]) == (False, None)
    assert [(each["conversation_id"], each["first"], each["last"]) for each in told["damage"]] == [(sid, 1, 2)]
    assert told["checked"] == told["events"]
