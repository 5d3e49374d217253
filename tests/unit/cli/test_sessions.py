"""`sessions` over a data folder and over a server: the same answers from both."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from openhands_sessions.cli import logs
from openhands_sessions.cli.app import main
from openhands_sessions.config.config import Config
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.gateway import SessionSpec
from tests.support.in_process_server import in_process_server, read, state, turn_ends

TALK = "talk"
KEPT = ("first", "second", TALK)


@dataclass(frozen=True)
class Called:
    """How a command ended."""

    code: int
    out: str
    err: str


Call = Callable[..., Awaitable[Called]]


@pytest.fixture
async def url(data_dir: Path) -> AsyncIterator[str]:
    """Where a server is that keeps three conversations; the last has a turn in its log."""
    logs.configure("warning", "console", ())
    async with in_process_server(Config(data_dir=data_dir)) as server:
        gateway = server.house.local.gateway
        for name in KEPT:
            spec = SessionSpec(
                id=ConversationId(name),
                create=True,
                title=f"The \x1b[31m{name}",
                initial_message="hello" if name == TALK else None,
            )
            await gateway.open(spec)
        ended = await read(gateway, ConversationId(TALK), -1, turn_ends)
        await read(gateway, ConversationId(TALK), ended[-1].id, state("awaiting_user_input"))
        yield server.url


@pytest.fixture(params=["data folder", "server"])
def call(request: pytest.FixtureRequest, url: str, data_dir: Path, capfd: pytest.CaptureFixture[str]) -> Call:
    """Calls a command, in a thread: it has an event loop of its own."""
    place = ["--data-dir", str(data_dir)] if request.param == "data folder" else ["--server", url]

    def carry_out(arguments: tuple[str, ...]) -> Called:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, *place])
        sys.stdout.flush()
        told = capfd.readouterr()
        return Called(int(ended.value.code or 0), told.out, told.err)

    async def called(*arguments: str) -> Called:
        async with asyncio.timeout(20):
            return await asyncio.to_thread(carry_out, arguments)

    return called


async def test_conversations_are_listed_newest_first(call: Call) -> None:
    listed = json.loads((await call("sessions", "ls", "--json")).out)
    assert [each["conversation_id"] for each in listed] == [*reversed(KEPT)]
    listed = json.loads((await call("sessions", "ls", "--json", "--limit", "2")).out)
    assert [each["conversation_id"] for each in listed] == [*reversed(KEPT)][:2]


async def test_a_title_does_not_steer_the_terminal(call: Call) -> None:
    lines = (await call("sessions", "ls")).out.splitlines()
    assert lines[0].split() == ["conversation", "status", "created", "title"]
    assert [line.split()[0] for line in lines[1:]] == [*reversed(KEPT)]
    assert lines[1].endswith("The talk")


async def test_one_conversation_is_shown(call: Call) -> None:
    shown = json.loads((await call("sessions", "show", TALK, "--json")).out)
    exported = json.loads((await call("sessions", "export", TALK)).out)
    assert shown["events"] == len(exported)
    assert shown["title"] == "The \x1b[31mtalk"
    lines = (await call("sessions", "show", TALK)).out.splitlines()
    assert lines[0].split() == ["conversation_id", TALK]
    assert "title            The talk" in lines


async def test_an_export_is_the_log(call: Call, tmp_path: Path) -> None:
    exported = json.loads((await call("sessions", "export", TALK)).out)
    assert [event["id"] for event in exported] == list(range(len(exported)))
    output = tmp_path / "talk.json"
    assert (await call("sessions", "export", TALK, "--output", str(output))).code == 0
    assert json.loads(output.read_text()) == exported
    again = await call("sessions", "export", TALK, "--output", str(output))
    assert (again.code, again.err) == (1, f"error: {output} exists already\n")


async def test_an_export_that_fails_leaves_no_file(call: Call, tmp_path: Path) -> None:
    output = tmp_path / "none.json"
    failed = await call("sessions", "export", "none", "--output", str(output))
    assert (failed.code, failed.err) == (1, "error: conversation 'none' not found\n")
    assert not output.exists()


async def test_deleting_asks_first(call: Call) -> None:
    refused = await call("sessions", "delete", TALK)
    assert (refused.code, refused.err) == (2, "error: sessions delete: say --yes: nobody can be asked here\n")
    done = await call("sessions", "delete", TALK, "none", "--yes")
    assert (done.code, done.out, done.err) == (1, "deleted talk\n", "error: conversation 'none' not found\n")
    assert (await call("sessions", "show", TALK)).code == 1


async def test_an_id_that_can_be_none_is_refused(call: Call) -> None:
    refused = await call("sessions", "show", "../etc")
    assert refused.code == 2
    assert refused.err.startswith("error: conversation_id must be")
