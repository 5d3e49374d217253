"""Conversations of another installation, imported with the real program while a real server runs, and opened there."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.ids import LOCAL_OWNER
from tests.support.command_line import PROGRAM, CommandLine
from tests.support.event_summaries import state_of
from tests.support.openhands_folder import SCENES, Talk, Wire, finished, installation, long, write
from tests.support.running_server import Server
from tests.support.server_clients import Clients

SPARED = {("action", "null"), ("observation", "null"), ("action", "recall")}


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    return folder


async def test_fifty_conversations_are_imported_while_a_server_runs_and_open(
    server: Server, clients: Clients, data_dir: Path, theirs: Path
) -> None:
    talks = installation(theirs, 50)
    done = await CommandLine(data_dir).run("import", str(theirs))
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "50 imported, 0 continued, 0 there already, 0 skipped"
    assert len(done.out.splitlines()) == 51
    _, page = await clients.rest.ask("GET", "/api/conversations", limit=100)
    assert [each["conversation_id"] for each in page["results"]] == [talk.sid for talk in reversed(talks)]
    assert {each["status"] for each in page["results"]} == {"STOPPED"}
    for talk in talks:
        await _opens(clients, talk)
    assert not list(server.data_dir.rglob("must-not-be"))
    assert not (theirs / "a-pickle-was-opened").exists()

    again = await CommandLine(data_dir).run("import", str(theirs))
    assert again.out.splitlines()[-1] == "0 imported, 0 continued, 50 there already, 0 skipped"
    assert "a request failed" not in server.log


async def test_an_imported_conversation_goes_on(clients: Clients, data_dir: Path, theirs: Path) -> None:
    talks = installation(theirs, len(SCENES))
    await CommandLine(data_dir).run("import", str(theirs))
    for talk in talks:
        client = clients.v0(talk.sid)
        await client.connect()
        await client.until_event(lambda event: bool(state_of(event)))
        await client.send({"action": "message", "args": {"content": "$ echo here we go"}})
        ran = await client.until_event(lambda event: event.get("observation") == "run", after=talk.next)
        assert ran["content"].strip() == "here we go"
        await client.until_state("awaiting_user_input", after=ran["id"])
        assert client.faults == []
        assert [event["id"] for event in await clients.rest.events(talk.sid)] == list(range(client.last + 1))


async def test_an_import_that_is_ended_at_any_time_is_finished_by_the_next(data_dir: Path, theirs: Path) -> None:
    talks = installation(theirs, 12)
    big = Talk("ffff" * 8)
    for _ in range(40):
        long(big)
    write(theirs, big)
    whole = CommandLine(data_dir.with_name("whole"))
    await whole.run("import", str(theirs))
    expected = await _kept(whole.data_dir)
    assert expected.keys() == {talk.sid for talk in (*talks, big)}
    shell = CommandLine(data_dir)
    for lines in (1, 12):
        await _ended(shell, theirs, lines, signal.SIGKILL)
        so_far = await _kept(data_dir)
        assert len(so_far) >= lines
        assert all(expected[sid] == events for sid, events in so_far.items())
    assert (await shell.run("import", str(theirs))).code == 0
    assert await _kept(data_dir) == expected


async def test_an_import_that_is_stopped_says_how_to_go_on(data_dir: Path, theirs: Path) -> None:
    installation(theirs, 30)
    code, err = await _interrupted(CommandLine(data_dir), theirs)
    assert (code, err) == (130, "error: stopped; import again to go on\n")


async def test_what_has_grown_over_there_goes_on_here_unless_it_was_opened_here(
    clients: Clients, data_dir: Path, theirs: Path
) -> None:
    talk = Talk("a1" * 16)
    finished(talk)
    write(theirs, talk)
    shell = CommandLine(data_dir)
    await shell.run("import", str(theirs))
    _grown(theirs, talk, "and the hidden ones?")
    done = await shell.run("import", str(theirs))
    assert "continued, " in done.out
    events = await clients.rest.events(talk.sid)
    assert [event["args"]["content"] for event in events if event.get("action") == "message"] == [
        "list the files",
        "and the hidden ones?",
        "None either.",
    ]
    causes = {event["id"]: event["cause"] for event in events if event.get("observation") == "run"}
    assert all(events[cause].get("action") == "run" for cause in causes.values())
    client = clients.v0(talk.sid)
    await client.connect()
    await client.until_state("awaiting_user_input", "stopped")
    await client.send({"action": "message", "args": {"content": "$ echo here"}})
    await client.until_event(lambda event: event.get("content") == "here\n" or event.get("content") == "here")
    _grown(theirs, talk, "too late")
    done = await shell.run("import", str(theirs))
    assert "opened here since: it goes on here" in done.out
    assert "too late" not in json.dumps(await clients.rest.events(talk.sid))


async def test_a_folder_that_is_none_and_a_store_that_forgets_are_refused(data_dir: Path, tmp_path: Path) -> None:
    shell = CommandLine(data_dir)
    for arguments, told in (
        ((str(tmp_path / "nothing"),), "error: FOLDER has no folder `sessions` or `users`"),
        ((str(tmp_path), "--set", "store.kind=memory"), "error: store.kind must be one that lasts"),
    ):
        done = await shell.run("import", *arguments)
        assert done.code == 2
        assert done.err.startswith(told)


async def _kept(data_dir: Path) -> dict[str, list[str]]:
    """Everything that the user sees, as it is stored."""
    found: dict[str, list[str]] = {}
    async with open_sqlite(data_dir / "sessions.db") as store:
        for row in await store.conversations.page(LOCAL_OWNER, limit=1000):
            found[row.id] = [entry.text async for batch in store.log(row.id).read() for entry in batch]
    return found


async def _opens(clients: Clients, talk: Talk) -> None:
    """The V0 client is shown what happened, in order, and the export has all of it."""
    client = clients.v0(talk.sid)
    await client.connect()
    expected = [event for event in talk.events if not state_of(event) and not _spared(event)]
    await client.until_id(expected[-1]["id"])
    shown = [_told(event) for event in client.events if event["id"] < talk.next and not state_of(event)]
    assert shown == [_told(event) for event in expected]
    assert client.faults == []
    assert len([event for event in client.events if state_of(event) and event["id"] < talk.next]) <= 1
    _, export = await clients.rest.ask("GET", f"/api/conversations/{talk.sid}/trajectory")
    events = export["trajectory"]
    assert [event["id"] for event in events] == list(range(len(events)))
    assert [_told(event) for event in events[: talk.next]] == [_told(event) for event in talk.events]
    assert all(event["timestamp"].endswith("Z") for event in events)
    assert not [event for event in events[talk.next :] if event.get("action") in ("run", "message")] or _settled(events)
    await client.leave()
    await clients.rest.ask("POST", f"/api/conversations/{talk.sid}/stop")


def _told(event: Wire) -> Any:
    kind = event.get("action") or event.get("observation")
    about = {
        key: value for key, value in event.get("args", {}).items() if key in ("content", "command", "final_thought")
    }
    cause = event.get("cause") if "observation" in event else None  # an answer names its question, as it does not there
    return event["id"], event["source"], kind, cause, event.get("content"), about


def _spared(event: Wire) -> bool:
    return any(event.get(family) == kind for family, kind in SPARED)


def _settled(events: Sequence[Wire]) -> bool:
    """A question that was left open is taken back: restated as rejected, and never run."""
    [again] = [event for event in events[-8:] if event.get("args", {}).get("confirmation_state") == "rejected"]
    return bool(again["args"]["command"] == "touch must-not-be")


def _grown(theirs: Path, talk: Talk, text: str) -> None:
    talk.says(text)
    talk.runs("ls -a", ".  ..")
    talk.replies("None either.")
    write(theirs, talk)


async def _ended(shell: CommandLine, theirs: Path, lines: int, number: int) -> tuple[int, str]:
    """An import that is sent a signal behind so many lines."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *PROGRAM[1:], "import", str(theirs)),
        env=shell.environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        for _ in range(lines):
            await process.stdout.readline()
        if process.returncode is None:
            process.send_signal(number)
        _, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, err.decode()


async def _interrupted(shell: CommandLine, theirs: Path) -> tuple[int, str]:
    """An import that gets SIGINT in its middle: it cannot finish before, since its output holds a few lines only."""
    loop = asyncio.get_running_loop()
    ours, its = socket.socketpair()
    its.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    ours.setblocking(False)
    with ours:
        with its:
            # A shell starts a background job with SIGINT ignored, and a child inherits that: not so a handler.
            before = signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, *PROGRAM[1:], "import", str(theirs)),
                    env=shell.environ,
                    stdout=its.fileno(),
                    stderr=asyncio.subprocess.PIPE,
                )
            finally:
                signal.signal(signal.SIGINT, before)
        async with asyncio.timeout(60):
            await loop.sock_recv(ours, 1)
            process.send_signal(signal.SIGINT)
            while await loop.sock_recv(ours, 4096):
                pass
            _, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, err.decode()
