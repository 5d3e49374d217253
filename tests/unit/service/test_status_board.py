"""Operators see every session, and every change of any of them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId
from openhands_sessions.core.lifecycle import SET_UP, SessionState
from openhands_sessions.ports.operations import Overview, SessionStatus
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.service.status_board import BATCH, KEPT_CHANGES, StatusBoard
from tests.fakes.model import FakeModel, FakeModels
from tests.support.service_layer import TALK, ServiceLayer, running_service
from tests.support.session_harness import LONG, rest, says, state
from tests.support.store_entries import NOW

S = SessionState


def change(board: StatusBoard, sid: str = "talk", now: SessionState = S.READY) -> SessionStatus:
    status = SessionStatus(
        number=board.next_number,
        conversation_id=ConversationId(sid),
        owner=LOCAL_OWNER,
        state=now,
        agent_state="loading",  # type: ignore[arg-type]  # any will do
        head=EventId(0),
        followers=0,
        cost=0.0,
        at=NOW,
    )
    board.publish(status)
    return status


def numbers(news: Overview | Sequence[SessionStatus]) -> list[int]:
    assert not isinstance(news, Overview)
    return [status.number for status in news]


async def test_a_watcher_first_sees_what_there_is() -> None:
    board = StatusBoard()
    change(board, "a")
    newest = change(board, "b")
    first = await anext(board.watch())
    assert isinstance(first, Overview)
    assert first.number == newest.number
    assert [status.conversation_id for status in first.sessions] == ["a", "b"]


async def test_then_every_change_in_order_and_in_batches() -> None:
    board = StatusBoard()
    watching = board.watch()
    await anext(watching)
    seen: list[int] = []
    for _ in range(BATCH + 10):
        change(board)
    seen += numbers(await anext(watching))
    assert len(seen) == BATCH
    seen += numbers(await anext(watching))
    assert seen == list(range(1, BATCH + 11))


async def test_a_watcher_waits_for_news() -> None:
    board = StatusBoard()
    watching = board.watch()
    await anext(watching)
    asyncio.get_running_loop().call_soon(change, board)
    async with asyncio.timeout(LONG):
        assert numbers(await anext(watching)) == [1]


async def test_a_watcher_who_falls_behind_gets_an_overview_and_goes_on() -> None:
    board = StatusBoard()
    watching = board.watch()
    await anext(watching)
    for number in range(KEPT_CHANGES + 1):
        change(board, f"talk-{number % 3}")
    again = await anext(watching)
    assert isinstance(again, Overview)
    assert (again.number, len(again.sessions)) == (KEPT_CHANGES + 1, 3)
    newest = change(board)
    assert numbers(await anext(watching)) == [newest.number]


async def test_a_watcher_who_is_just_not_too_far_behind_misses_nothing() -> None:
    board = StatusBoard()
    watching = board.watch()
    await anext(watching)
    for _ in range(KEPT_CHANGES):
        change(board)
    assert numbers(await anext(watching))[0] == 1


async def test_a_renewal_gives_each_watcher_an_overview_behind_the_changes_before_it() -> None:
    board = StatusBoard()
    watching, other = board.watch(), board.watch()
    await anext(watching)
    first = change(board)
    board.renew()
    assert numbers(await anext(watching)) == [first.number]
    assert await anext(watching) == await anext(other) == Overview(first.number, (first,))
    newest = change(board)
    assert numbers(await anext(watching)) == numbers(await anext(other)) == [newest.number]


async def test_a_closed_session_is_a_change_and_then_gone() -> None:
    board = StatusBoard()
    change(board, "a")
    watching = board.watch()
    await anext(watching)
    last = change(board, "a", S.CLOSED)
    assert numbers(await anext(watching)) == [last.number]
    assert board.overview() == Overview(last.number, ())


async def test_an_operator_sees_every_state_of_every_session(store: SessionStore) -> None:
    models = FakeModels(FakeModel([says("Hello.")]))
    seen: list[Any] = []

    async def watches(board: StatusBoard) -> None:
        async for news in board.watch():
            if not isinstance(news, Overview):
                seen.extend((status.conversation_id, status.state) for status in news)

    async with running_service(ServiceLayer(store=store, models=models)) as service:
        watching = asyncio.create_task(watches(service.board))
        await asyncio.sleep(0)
        session = await service.open(initial_message="hi", settings={"llm_model": "fake"})
        await state(session, "awaiting_user_input")
        await rest()
        await service.gateway.close(TALK, "stopped")
        service.board.end()
        async with asyncio.timeout(LONG):
            await watching
    states = [now for sid, now in seen if sid == TALK]
    distinct = [now for place, now in enumerate(states) if place == 0 or states[place - 1] is not now]
    assert distinct == [S.CREATED, *SET_UP, S.READY, S.RUNNING, S.READY, S.CLOSING, S.CLOSED]


@pytest.mark.parametrize("count", [0, 3])
async def test_the_end_comes_behind_all_changes(count: int) -> None:
    board = StatusBoard()
    watching = board.watch()
    await anext(watching)
    for _ in range(count):
        change(board)
    board.end()
    found = [number async for news in watching for number in numbers(news)]
    assert found == list(range(1, count + 1))
