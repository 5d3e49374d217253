"""A log with moves is folded from any snapshot as in one go, and the view at any end of a turn is found."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.core import fold
from openhands_sessions.core.events.codec import stored
from openhands_sessions.core.view import LOG_WIDE, ConversationView
from openhands_sessions.session.log_folding import Folding, folded, loading, snapshot_of, view_at
from tests.fakes.memory_store import open_memory
from tests.support.log_builder import LogBuilder
from tests.support.moved_logs import books, ends_of_turns, views_of
from tests.support.store_entries import TALK, row


def of_chain(view: ConversationView) -> dict[str, object]:
    names = [name for name in ConversationView.__dataclass_fields__ if name not in LOG_WIDE]
    return {name: getattr(view, name) for name in names}


@given(books(), st.data())
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("kept", [1, 1_000])
def test_a_log_is_folded_from_any_snapshot_as_in_one_go(kept: int, book: LogBuilder, data: st.DataObject) -> None:
    views = views_of(book.events)
    heads = data.draw(st.lists(st.integers(0, len(book.events) - 1), max_size=4, unique=True))

    async def check() -> None:
        async with open_memory() as store:
            await store.conversations.create(row(TALK))
            log = store.log(TALK)
            await log.append([stored(event) for event in book.events], expected=-1, term=0)
            how = Folding(load=loading(store.snapshots, TALK))
            assert await folded(log, None, how) == views[-1]
            for head in heads:
                await store.snapshots.save(TALK, snapshot_of(views[head + 1]))
                assert await folded(log, snapshot_of(views[head + 1]), how) == views[-1]
            for end in ends_of_turns(book):
                found = await view_at(log, views[-1].lineage, end, how)
                assert of_chain(found) == of_chain(views[end + 1])

    usual, fold.ENDS = fold.ENDS, kept
    try:
        asyncio.run(check())
    finally:
        fold.ENDS = usual
