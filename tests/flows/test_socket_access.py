"""Who may do what over the socket: a table by hand, with a row for everything that is sent."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from openhands_sessions.protocol.socket_messages import SOCKET_EVENTS
from tests.support.socket_connection import ConnectionRefused, SocketConnection
from tests.support.token_callers import MESSAGE, UNKNOWN_ID, TokenCallers, token_callers

# What is sent over the socket: whether it gets through, to who shows nothing; to a user in a conversation of its own,
# of somebody else's and an unknown one; to an operator and an admin in somebody else's; and to those with whom it is
# shared: a viewer, a writer, and who has a link to view it. On /operator, all conversations are there; a list is of no
# conversation, and is the caller's own.
SOCKET: Mapping[tuple[str, str], tuple[bool, bool, bool, bool, bool, bool, bool, bool, bool]] = {
    #                              unauth. own  foreign unknown operator admin viewer writer link
    ("/", "connect"): (False, True, False, False, False, False, True, True, True),
    ("/", "oh_user_action"): (False, True, False, False, False, False, False, True, False),
    ("/", "oh_action"): (False, True, False, False, False, False, False, True, False),
    ("/", "authenticate"): (False, True, False, False, False, False, True, True, True),
    ("/", "mark_read"): (False, True, False, False, False, False, True, True, True),
    ("/", "renew_list"): (False, True, True, True, True, True, True, True, False),
    ("/operator", "connect"): (False, False, False, False, True, True, False, False, False),
    ("/operator", "authenticate"): (False, False, False, False, True, True, False, False, False),
    ("/operator", "set_limits"): (False, False, False, False, True, True, False, False, False),
    ("/operator", "drain"): (False, False, False, False, True, True, False, False, False),
    ("/operator", "undrain"): (False, False, False, False, True, True, False, False, False),
    ("/operator", "stop"): (False, False, False, False, True, True, False, False, False),
    ("/operator", "close"): (False, False, False, False, True, True, False, False, False),
}
SENT: Mapping[str, object] = {
    "oh_user_action": MESSAGE,
    "oh_action": MESSAGE,
    "mark_read": {"event_id": 0},
    "set_limits": {"max_sessions": 9},
}


@pytest.fixture
async def callers(data_dir: Path) -> AsyncIterator[TokenCallers]:
    async with token_callers(data_dir) as made:
        yield made


def test_everything_that_is_sent_has_a_row() -> None:
    sent = {(event.channel, event.name) for event in SOCKET_EVENTS if event.sender == "client"}
    assert set(SOCKET) == sent | {("/", "connect"), ("/operator", "connect")}, "write down who may send it"


async def test_each_caller_gets_through_over_the_socket_as_the_table_says(callers: TokenCallers) -> None:
    for (channel, name), expected in SOCKET.items():
        for (caller, sid), through in zip(callers.places, expected, strict=True):
            await callers.clients["user"].rest.ask("POST", f"/api/conversations/{callers.own}/start", {})
            told = await _sent(callers, caller, channel, name, sid)
            assert (told is None) is through, (channel, name, caller, sid, told)


async def test_over_the_socket_somebody_elses_conversation_is_an_unknown_one(callers: TokenCallers) -> None:
    for caller in ("stranger", "operator", "admin", "viewer", "link"):
        foreign = callers.other if caller in ("viewer", "link") else callers.own
        for more in ({}, {"after": 3}, {"epoch": "x"}, {"create": {"no_such": 1}}, {"protocol": 1}, {"protocol": 9}):
            refusals = [await _sent(callers, caller, "/", "connect", sid, **more) for sid in (foreign, UNKNOWN_ID)]
            assert refusals[0] is not None
            assert str(refusals[0]).replace(foreign, UNKNOWN_ID) == str(refusals[1]), (caller, more)


async def _sent(callers: TokenCallers, caller: str, channel: str, name: str, sid: str, **more: object) -> object:
    """Connect, and send something; None where that got through, else what was told."""
    http, token = callers.clients[caller].rest.http, callers.tokens[caller]
    connection = SocketConnection(http, lambda name, value: None, lambda: None, channel)
    key = {} if token is None else {"session_api_key": token}
    place = {} if name == "renew_list" else {"conversation_id": sid}
    auth = {"protocol": 2, **place, **key, **more}
    try:
        await connection.connect(callers.server.url, {}, auth)
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
