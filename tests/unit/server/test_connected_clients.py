"""The list of clients is as python-socketio's own, whatever they do, and no slower with many."""

import asyncio
import time
from itertools import count
from types import SimpleNamespace
from typing import Any

import socketio
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.server.sockets.connected_clients import ConnectedClients

STEPS = st.lists(
    st.tuples(st.sampled_from(("pre_connect", "connect", "pre_disconnect", "disconnect")), st.integers(0, 4))
)


def managed(kind: type[Any]) -> Any:
    numbers = count()
    manager = kind()
    eio = SimpleNamespace(generate_id=lambda: f"sid-{next(numbers)}")
    manager.set_server(SimpleNamespace(eio=eio, packet_class=SimpleNamespace(json=None)))
    return manager


async def played(manager: Any, steps: list[tuple[str, int]]) -> list[Any]:
    """What can be seen of a manager after each step. Steps that no server takes are left out."""
    sids: dict[int, str] = {}
    seen: list[Any] = []
    for step, who in steps:
        for namespace in ("/", "/operator"):
            sid = sids.get(who)
            if step == "pre_connect" and sid is None:
                sids[who] = await manager.pre_connect(f"eio-{who}", namespace)
            elif sid is not None and manager.eio_sid_from_sid(sid, namespace) is not None:
                if step == "connect" and manager.is_pre_connected(sid, namespace):
                    await manager.connect(sid, namespace)
                elif step == "pre_disconnect" and manager.is_connected(sid, namespace):
                    manager.pre_disconnect(sid, namespace)
                elif step == "disconnect":
                    await manager.disconnect(sid, namespace)
            known = sids.get(who)
            seen.append(
                [
                    {
                        place: {room: dict(found) for room, found in rooms.items()}
                        for place, rooms in manager.rooms.items()
                    },
                    {place: list(pending) for place, pending in manager.pending_connect.items()},
                    {place: list(pending) for place, pending in manager.pending_disconnect.items()},
                    known and manager.is_connected(known, namespace),
                    known and manager.is_pre_connected(known, namespace),
                    manager.sid_from_eio_sid(f"eio-{who}", "/") if "/" in manager.rooms else None,
                ]
            )
    return seen


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_it_says_what_the_librarys_own_says(steps: list[tuple[str, int]]) -> None:
    ours, stock = (asyncio.run(played(managed(kind), steps)) for kind in (ConnectedClients, socketio.AsyncManager))
    assert ours == stock


async def test_a_client_that_leaves_costs_no_more_among_many() -> None:
    assert await cost_of_leaving(4_000) < 8 * await cost_of_leaving(100)


async def cost_of_leaving(others: int) -> float:
    """Seconds of the processor that 50 clients cost which leave, the fastest of five times."""
    manager = managed(ConnectedClients)
    for number in range(others):
        await manager.connect(await manager.pre_connect(f"other-{number}", "/"), "/")
    for number in range(others):
        manager.pre_disconnect(manager.sid_from_eio_sid(f"other-{number}", "/"), "/")
    times = []
    for _ in range(5):
        sids = [await manager.connect(await manager.pre_connect(f"eio-{number}", "/"), "/") for number in range(50)]
        begun = time.process_time()
        for sid in sids:
            assert manager.is_connected(sid, "/")
            manager.pre_disconnect(sid, "/")
            await manager.disconnect(sid, "/")
        times.append(time.process_time() - begun)
    return min(times)
