"""Who may do what over the socket: a table by hand, with a row for everything that is sent."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from openhands_sessions.protocol.socket_messages import SOCKET_EVENTS
from tests.support.running_server import Server
from tests.support.server_clients import Clients
from tests.support.socket_connection import ConnectionRefused, SocketConnection
from tests.support.token_callers import (
    CALLERS,
    MESSAGE,
    TOKENS,
    UNKNOWN_ID,
    token_callers,
    token_server,
    worked_conversation,
)

# What is sent over the socket: whether it gets through, to nobody; to a user in a conversation of its own, of somebody
# else's and an unknown one; to an operator and an admin in somebody else's. On /operator, all conversations are there;
# a list is of no conversation, and is the caller's own.
SOCKET: Mapping[tuple[str, str], tuple[bool, bool, bool, bool, bool, bool]] = {
    #                                nobody own  foreign unknown operator admin
    ("/", "connect"): (False, True, False, False, False, False),
    ("/", "oh_user_action"): (False, True, False, False, False, False),
    ("/", "oh_action"): (False, True, False, False, False, False),
    ("/", "authenticate"): (False, True, False, False, False, False),
    ("/", "mark_read"): (False, True, False, False, False, False),
    ("/", "renew_list"): (False, True, True, True, True, True),
    ("/operator", "connect"): (False, False, False, False, True, True),
    ("/operator", "authenticate"): (False, False, False, False, True, True),
    ("/operator", "set_limits"): (False, False, False, False, True, True),
    ("/operator", "drain"): (False, False, False, False, True, True),
    ("/operator", "undrain"): (False, False, False, False, True, True),
    ("/operator", "stop"): (False, False, False, False, True, True),
    ("/operator", "close"): (False, False, False, False, True, True),
}
SENT: Mapping[str, object] = {
    "oh_user_action": MESSAGE,
    "oh_action": MESSAGE,
    "mark_read": {"event_id": 0},
    "set_limits": {"max_sessions": 9},
}


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[Server]:
    async with token_server(data_dir) as ready:
        yield ready


@pytest.fixture
async def callers(server: Server) -> AsyncIterator[Mapping[str, Clients]]:
    async with token_callers(server) as made:
        yield made


@pytest.fixture
async def own(callers: Mapping[str, Clients]) -> str:
    return await worked_conversation(callers["user"])


def test_everything_that_is_sent_has_a_row() -> None:
    sent = {(event.channel, event.name) for event in SOCKET_EVENTS if event.sender == "client"}
    assert set(SOCKET) == sent | {("/", "connect"), ("/operator", "connect")}, "write down who may send it"


async def test_each_caller_gets_through_over_the_socket_as_the_table_says(
    server: Server, callers: Mapping[str, Clients], own: str
) -> None:
    for (channel, name), expected in SOCKET.items():
        places = (own, own, own, UNKNOWN_ID, own, own)
        for caller, sid, through in zip(CALLERS, places, expected, strict=True):
            await callers["user"].rest.ask("POST", f"/api/conversations/{own}/start", {})  # it may be closed
            told = await _sent(server, callers[caller], channel, name, sid, TOKENS[caller])
            assert (told is None) is through, (channel, name, caller, sid, told)


async def test_over_the_socket_somebody_elses_conversation_is_an_unknown_one(
    server: Server, callers: Mapping[str, Clients], own: str
) -> None:
    for caller in ("stranger", "operator", "admin"):
        for more in ({}, {"after": 3}, {"epoch": "x"}, {"create": {"no_such": 1}}, {"protocol": 1}, {"protocol": 9}):
            refusals = [
                await _sent(server, callers[caller], "/", "connect", sid, TOKENS[caller], **more)
                for sid in (own, UNKNOWN_ID)
            ]
            assert refusals[0] is not None
            assert str(refusals[0]).replace(own, UNKNOWN_ID) == str(refusals[1]), more


async def _sent(
    server: Server, caller: Clients, channel: str, name: str, sid: str, token: str | None, **more: object
) -> object:
    """Connect, and send something; None where that got through, else what was told."""
    connection = SocketConnection(caller.rest.http, lambda name, value: None, lambda: None, channel)
    key = {} if token is None else {"session_api_key": token}
    place = {} if name == "renew_list" else {"conversation_id": sid}
    auth = {"protocol": 2, **place, **key, **more}
    try:
        await connection.connect(server.url, {}, auth)
        if name == "connect":
            return None
        named = {"conversation_id": sid}
        given = {**SENT, "authenticate": {"token": token}, "stop": named, "close": named}
        answer = await connection.call(name, given.get(name, {}))
        return None if answer["ok"] else answer
    except ConnectionRefused as refused:
        return refused.told
    finally:
        await connection.close()
