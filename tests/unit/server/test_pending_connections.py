"""How many connections may wait to authenticate, of whom, and for how long."""

import asyncio
from collections import UserDict
from types import MappingProxyType
from typing import Any

import pytest

from openhands_sessions.server.forwarding import TrustedProxies
from openhands_sessions.server.guarded_connection import CONNECTION
from openhands_sessions.server.pending_connections import Deadline, PendingConnections, PendingLimits
from openhands_sessions.server.sockets.pending_sockets import PendingSockets


class Late:
    """Something that is awaited, and notes its end."""

    def __init__(self, pending: PendingConnections, address: str = "203.0.113.1") -> None:
        self.over = asyncio.Event()
        self.deadline = Deadline(pending, self)
        self._pending = pending
        self._address = address
        pending.enter(address)

    def look(self) -> None:
        self.end()

    def end(self) -> None:
        self.deadline.end()
        self.over.set()
        self._pending.leave(self._address)


def waiting(*, seconds: float = 60.0, per_address: int = 2, in_all: int = 4) -> PendingConnections:
    limits = PendingLimits(seconds=seconds, per_address=per_address, in_all=in_all)
    return PendingConnections(limits, TrustedProxies(["10.0.0.0/8"]))


@pytest.mark.parametrize(
    ("one", "same"), [("203.0.113.1", "::ffff:203.0.113.1"), ("2001:aaaa::1", "2001:aaaa::ffff:1")]
)
async def test_an_address_has_so_many_and_others_have_theirs(one: str, same: str) -> None:
    pending = waiting()
    assert pending.enter(one)
    assert pending.enter(same)
    assert not pending.enter(one)
    assert pending.enter("203.0.113.2")
    pending.leave(same)
    assert pending.enter(one)


@pytest.mark.parametrize("exempt", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3"])
async def test_loopback_and_proxies_count_in_all_alone(exempt: str) -> None:
    pending = waiting()
    assert [pending.enter(exempt) for _ in range(5)] == [True] * 4 + [False]
    assert not pending.enter("203.0.113.1")


async def test_time_passes_only_while_the_client_owes_bytes() -> None:
    pending = waiting(seconds=0.2)
    held, owing = Late(pending), Late(pending)
    held.deadline.run()
    held.deadline.pause()
    owing.deadline.run()
    async with asyncio.timeout(20):
        await owing.over.wait()
    assert not held.over.is_set()
    held.deadline.run()
    async with asyncio.timeout(20):
        await held.over.wait()


async def test_the_time_is_that_of_all_its_turns_together() -> None:
    late = Late(waiting(seconds=60.0))
    before = late.deadline.left
    for _ in range(3):
        late.deadline.run()
        await asyncio.sleep(0.01)
        late.deadline.pause()
    assert before - late.deadline.left >= 0.03


async def test_without_room_who_has_owed_longest_gives_way_once_it_had_a_part_of_its_time() -> None:
    pending = waiting(seconds=2.0)
    served = Late(pending, "127.0.0.1")
    oldest, later, newest = (Late(pending, "127.0.0.1") for _ in range(3))
    for late in (oldest, later, newest):
        late.deadline.run()
    assert not pending.enter("203.0.113.1"), "each has a part of its time"
    await asyncio.sleep(0.6)
    assert pending.enter("203.0.113.1")
    assert oldest.over.is_set()
    assert not served.over.is_set(), "who owes nothing gives no way"


async def test_no_more_than_half_of_all_connections_may_wait() -> None:
    pending = PendingConnections(PendingLimits(in_all=100, connections=6), TrustedProxies())
    assert [pending.enter("127.0.0.1") for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("live", [True, False])
async def test_a_connection_that_comes_for_a_socket_which_was_let_in_is_no_strangers(live: bool) -> None:
    class Connection:
        let = False

        def let_in(self) -> None:
            self.let = True

    connection: Any = Connection()

    class Request(UserDict[Any, Any]):
        query = MappingProxyType({"sid": "known", "transport": "websocket"})

    request: Any = Request({CONNECTION: connection})
    PendingSockets(waiting()).request_arrived(request, live=live)
    assert connection.let is live
