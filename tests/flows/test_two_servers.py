"""Servers that meet: on one data folder, which is one server's, and on one database, where each conversation is."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.bootstrap.backup import LOCK
from tests.support.command_line import CommandLine
from tests.support.running_server import ProcessInfo, Server, prepared_server, processes_of, running_server
from tests.support.server_clients import Clients

CODE_OF_ANOTHER = 1


def errors(server: Server) -> list[dict[str, Any]]:
    """What a server has logged at error."""
    lines = [json.loads(line) for line in server.log.splitlines()]
    return [line for line in lines if line["level"] == "error"]


def executors(data_dir: Path) -> list[ProcessInfo]:
    return [process for process in processes_of(data_dir) if "executor" in process.command]


async def say(clients: Clients, sid: str, text: str) -> tuple[int, Any, str | None]:
    """Status, body and Retry-After."""
    url = f"{clients.rest.url}/api/conversations/{sid}/message"
    async with clients.rest.http.post(url, json={"message": text}) as answer:
        return answer.status, await answer.json(), answer.headers.get("Retry-After")


async def said(clients: Clients, sid: str) -> list[str]:
    """The user's messages. That events have no holes is checked by the way."""
    events = await clients.rest.events(sid)
    assert [event["id"] for event in events] == list(range(len(events)))
    return [
        event["args"]["content"] for event in events if (event.get("action"), event["source"]) == ("message", "user")
    ]


async def test_a_second_server_is_refused_in_one_line_and_the_first_is_not_disturbed(
    server: Server, clients: Clients, data_dir: Path
) -> None:
    sid = await clients.rest.create()
    client = clients.v0(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    done = await CommandLine(data_dir, {"OHS_LOG__FORMAT": "json"}).run("serve", "--port", "0")
    assert (done.code, done.out) == (CODE_OF_ANOTHER, "")
    [line] = done.err.splitlines()
    told = json.loads(line)
    assert (told["level"], told["event"]) == ("error", "another server runs on this data folder")
    assert told["holder"].startswith(f"process {server.pid}, since 20")
    await client.send({"action": "message", "args": {"content": "$ echo still here"}})
    await client.until_event(lambda event: "still here" in str(event.get("content")))
    assert errors(server) == []


async def test_a_server_that_is_killed_is_followed_by_the_next_at_once_though_its_sandboxes_live(
    server: Server, clients: Clients, data_dir: Path
) -> None:
    sid = await clients.rest.create()
    client = clients.v0(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    await client.send({"action": "message", "args": {"content": "$ touch begun; sleep 2; echo slept"}})
    await until_there(server.workspace(sid) / "begun")
    await server.killed()
    left = executors(data_dir)
    assert left
    assert not [each for process in left for each in Path(f"/proc/{process.pid}/fd").iterdir() if is_lock(each)]
    await server.start()
    again = clients.v0(sid)
    await again.connect()
    await again.until_event(lambda event: str(event.get("content")).strip() == "slept")
    assert set(left) <= set(executors(data_dir))
    assert errors(server) == []


async def until_there(path: Path) -> None:
    async with asyncio.timeout(20):
        while True:
            if path.exists():
                return
            await asyncio.sleep(0.01)


def is_lock(descriptor: Path) -> bool:
    try:
        return str(descriptor.readlink()).endswith(".lock") and "runtimes" not in str(descriptor.readlink())
    except FileNotFoundError:
        return False


async def test_what_the_lock_file_says_refuses_nobody(data_dir: Path) -> None:
    """Only the lock itself does: a process that has got the number of an earlier server is no server."""
    data_dir.mkdir(parents=True)
    (data_dir / LOCK).write_text(f"{os.getpid()} 2026-01-01T00:00:00Z\n")
    async with running_server(data_dir) as server:
        assert (data_dir / LOCK).read_text().split()[0] == str(server.pid)


async def test_commands_read_the_folder_while_a_server_works_on_it(
    server: Server, clients: Clients, data_dir: Path
) -> None:
    sid = await clients.rest.create("$ echo one")
    client = clients.v0(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    shell = CommandLine(data_dir)
    listed = await shell.run("sessions", "ls")
    assert (listed.code, listed.err) == (0, "")
    assert sid in listed.out
    exported = await shell.run("sessions", "export", sid)
    assert [event["id"] for event in json.loads(exported.out)["trajectory"]] == list(range(client.last + 1))
    await client.send({"action": "message", "args": {"content": "$ echo two"}})
    await client.until_event(lambda event: str(event.get("content")).strip() == "two")
    assert errors(server) == []


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Server, Server]]:
    """Two servers with one database, each with a data folder of its own. Their leases are short."""
    shared = {"OHS_STORE__PATH": str(tmp_path / "shared.db"), "OHS_STORE__LEASE_TTL": "1"}
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(prepared_server(tmp_path / "a", shared | {"OHS_STORE__NODE": "first"}))
        second = await stack.enter_async_context(
            prepared_server(tmp_path / "b", shared | {"OHS_STORE__NODE": "second"})
        )
        await first.start()
        await second.start()
        yield first, second
        for server in (first, second):
            server.resume()
            await server.stopped()


async def test_a_conversation_of_a_living_server_is_refused_by_another(pair: tuple[Server, Server]) -> None:
    first, second = pair
    async with Clients(first.url) as here, Clients(second.url) as there:
        sid = await here.rest.create()
        assert (await say(here, sid, "one"))[0] == 200
        status, body, retry_after = await say(there, sid, "two")
        assert (status, body["code"], retry_after) == (503, "owned_elsewhere", "1")
        assert "first" in body["message"]
        assert (await say(here, sid, "three"))[0] == 200
        await second.stopped()
        await second.start()
        assert (await say(here, sid, "four"))[0] == 200
        assert await said(here, sid) == ["one", "three", "four"]


async def test_a_server_that_stood_still_for_too_long_writes_nothing_and_says_so(pair: tuple[Server, Server]) -> None:
    first, second = pair
    async with Clients(first.url) as here, Clients(second.url) as there:
        sid = await here.rest.create()
        assert (await say(here, sid, "one"))[0] == 200
        first.pause()
        await until_taken(there, sid, "two")
        first.resume()
        status, body, _ = await say(here, sid, "three")
        assert (status, body["code"]) in ((409, "not_accepting"), (503, "owned_elsewhere"))
        assert "another server" in body["message"]
        status, body, _ = await say(here, sid, "four")
        assert (status, body["code"]) == (503, "owned_elsewhere")
        assert (await say(there, sid, "five"))[0] == 200
        assert await said(there, sid) == ["one", "two", "five"]


async def until_taken(clients: Clients, sid: str, text: str) -> None:
    """Say it until it is accepted: only the time makes the lease void."""
    async with asyncio.timeout(30):
        while True:
            status, body, _ = await say(clients, sid, text)
            if status == 200:
                return
            assert (status, body["code"]) == (503, "owned_elsewhere")
            await asyncio.sleep(0.1)
