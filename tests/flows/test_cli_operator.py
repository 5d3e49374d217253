"""`sessions ls --all` and `sessions stop`, against a server with users."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions.bootstrap.application import operator
from openhands_sessions.config.config import AuthSection, Config, ServerSection
from openhands_sessions.core.errors import NotFound, Unauthorized, Unreachable
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.access import Principal, Role
from openhands_sessions.ports.gateway import SessionSpec
from tests.support.command_line import CommandLine
from tests.support.in_process_server import InProcessServer, in_process_server, read, state
from tests.support.page_shell import PageShell
from tests.support.ports import free_port
from tests.support.token_keys import SECRET, by_secret

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "watch-the-server.md").read_text()
COMMANDS = re.findall(r"^\.venv/bin/(openhands-sessions sessions .*)$", TEXT, re.MULTILINE)
ADA = Principal(owner=OwnerId("ada"), role=Role.USER)
TALK = ConversationId("0123abcd")
OPERATOR = by_secret(sub="olga", role="operator")


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[InProcessServer]:
    config = Config(
        data_dir=data_dir, server=ServerSection(session_api_key=""), auth=AuthSection(kind="tokens", secret=SECRET)
    )
    async with in_process_server(config) as running:
        yield running


async def asked(server: InProcessServer) -> None:
    """Ada's session waits for an answer."""
    gateway = server.house.access.of(ADA).gateway
    await gateway.open(
        SessionSpec(id=TALK, create=True, initial_message="$ true", settings={"confirmation_mode": True})
    )
    await read(gateway, TALK, -1, state("awaiting_user_confirmation"))


async def test_an_operator_lists_stops_and_closes_the_sessions_of_users(
    server: InProcessServer, tmp_path: Path
) -> None:
    await asked(server)
    variables = {"OHS_SESSION_API_KEY": OPERATOR, "OHS_DATA_DIR": str(tmp_path / "elsewhere"), "ID": TALK}
    shell = PageShell(tmp_path / "shell", variables)
    listing, stop, close = (words.replace("http://127.0.0.1:3000", server.url) for words in COMMANDS)
    assert (await shell.run(listing)).splitlines()[1].split()[:4] == [
        TALK,
        "ada",
        "ready",
        "awaiting_user_confirmation",
    ]
    assert [each["owner"] for each in json.loads(await shell.run(f"{listing} --json"))] == ["ada"]
    assert re.fullmatch(rf"stopped turn \d+ of {TALK}\n", await shell.run(stop))
    assert await shell.run(close.replace("$ID", TALK[:5])) == f"closed {TALK}\n"
    assert server.house.sessions.live_sessions == 0
    done = await CommandLine(tmp_path / "elsewhere", variables).run("sessions", "stop", TALK, "--server", server.url)
    assert (done.code, done.err) == (1, f"error: live session '{TALK}' not found\n")


async def test_a_stop_ends_the_turn_and_not_the_session(server: InProcessServer) -> None:
    await asked(server)
    async with operator(server.url, OPERATOR) as reached:
        assert [(each.conversation_id, each.state) for each in reached.sessions] == [(TALK, SessionState.READY)]
        await reached.stop_turn(TALK)
        await read(server.house.access.of(ADA).gateway, TALK, -1, state("stopped"))
        assert server.house.sessions.live_sessions == 1
        with pytest.raises(NotFound):
            await reached.stop_turn(ConversationId("unknown"))
        with pytest.raises(NotFound):
            await reached.close_session(ConversationId("unknown"))


async def test_who_is_no_operator_is_told_so(server: InProcessServer) -> None:
    for key, problem in ((by_secret(sub="ada"), "only operators"), ("wrong", "token"), (None, "token|key")):
        with pytest.raises(Unauthorized, match=problem):
            async with operator(server.url, key):
                pass


async def test_a_server_that_is_away_is_told(data_dir: Path) -> None:
    with pytest.raises(Unreachable):
        async with asyncio.timeout(60), operator(f"http://127.0.0.1:{free_port()}", None):
            pass
