"""What the log of every kind of SessionStore keeps, in one body. The kinds stand in conftest.py."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from openhands_sessions.core.errors import AlreadyExists, BadInput, Conflict, Fenced, NotFound, StorageUnavailable
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.store import EventLog, Receipt, SessionStore
from tests.support.store_entries import NOW, OTHER, TALK, UNKNOWN, OpenStore, entries, ids, read, row


class TestLog:
    async def test_a_new_log_is_empty(self, log: EventLog) -> None:
        assert await log.head() == -1
        assert await read(log) == []

    async def test_what_was_appended_is_read_back_whole(self, log: EventLog) -> None:
        said = [
            Stored(EventId(0), "action:message", 1, '{"id":0,"text":"schöne Grüße 🎉"}'),
            Stored(EventId(1), "observation:run", 0, '{"id":1,"text":"\\u0000, and a raw one: \0"}'),
            Stored(EventId(2), "unknown:,|\x1e'", 7, ""),
        ]
        await log.append(said, expected=-1, term=0)
        assert await read(log) == said
        assert await log.head() == 2

    async def test_numbers_have_no_holes(self, log: EventLog) -> None:
        await log.append(entries(0, 3), expected=-1, term=0)
        await log.append(entries(3, 4), expected=2, term=0)
        assert ids(await read(log)) == [0, 1, 2, 3]

    async def test_an_entry_with_the_wrong_number_is_a_mistake_of_ours(self, log: EventLog) -> None:
        with pytest.raises(ValueError, match="entry 5 has the place of 0"):
            await log.append(entries(5, 6), expected=-1, term=0)

    @pytest.mark.parametrize("expected", [-1, 0, 2, 99])
    async def test_a_writer_with_the_wrong_head_is_refused(self, log: EventLog, expected: int) -> None:
        await log.append(entries(0, 2), expected=-1, term=0)
        with pytest.raises(Conflict) as refused:
            await log.append(entries(expected + 1, expected + 3), expected=expected, term=0)
        assert (refused.value.expected, refused.value.found) == (expected, 1)
        assert ids(await read(log)) == [0, 1]

    async def test_writes_sent_without_waiting_take_effect_in_order(self, log: EventLog) -> None:
        sent = [log.append(entries(n, n + 1), expected=n - 1, term=0) for n in range(300)]
        await asyncio.gather(*sent)
        assert ids(await read(log)) == list(range(300))

    async def test_one_refusal_fails_no_other_write_of_the_moment(self, store: SessionStore) -> None:
        talk, other = store.log(TALK), store.log(OTHER)
        sent = [
            talk.append(entries(0, 1), expected=-1, term=0),
            other.append(entries(5, 6), expected=4, term=0),
            talk.append(entries(1, 2), expected=0, term=0),
            store.log(UNKNOWN).append(entries(0, 1), expected=-1, term=0),
            other.append(entries(0, 1), expected=-1, term=0),
        ]
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None), Conflict, type(None), NotFound, type(None)]
        assert (await talk.head(), await other.head()) == (1, 0)

    async def test_giving_up_waiting_takes_nothing_back(self, log: EventLog) -> None:
        first = log.append(entries(0, 1), expected=-1, term=0)
        first.cancel()
        await log.append(entries(1, 2), expected=0, term=0)
        assert ids(await read(log)) == [0, 1]

    async def test_text_that_no_file_can_hold_is_refused(self, log: EventLog) -> None:
        with pytest.raises(BadInput):
            await log.append([Stored(EventId(0), "action:message", 1, "\ud800")], expected=-1, term=0)
        assert await log.head() == -1

    async def test_a_log_without_a_row_is_empty_and_takes_nothing(self, store: SessionStore) -> None:
        log = store.log(UNKNOWN)
        assert await log.head() == -1
        assert await read(log) == []
        with pytest.raises(NotFound):
            await log.append(entries(0, 1), expected=-1, term=0)

    async def test_two_logs_do_not_mix(self, store: SessionStore) -> None:
        await store.log(TALK).append(entries(0, 3), expected=-1, term=0)
        await store.log(OTHER).append(entries(0, 2, "other"), expected=-1, term=0)
        assert await read(store.log(OTHER)) == entries(0, 2, "other")
        assert ids(await read(store.log(TALK))) == [0, 1, 2]


class TestReading:
    @pytest.fixture
    async def log(self, store: SessionStore) -> EventLog:
        log = store.log(TALK)
        await log.append(entries(0, 1203), expected=-1, term=0)
        await store.log(OTHER).append(entries(0, 10), expected=-1, term=0)
        return log

    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            ({}, range(1203)),
            ({"after": 1200}, range(1201, 1203)),
            ({"after": 1202}, range(0)),
            ({"after": 5000}, range(0)),
            ({"after": -7, "limit": 2}, range(2)),
            ({"after": 10, "before": 15}, range(11, 15)),
            ({"after": 10, "before": 11}, range(0)),
            ({"before": 10**12, "after": 1201}, range(1202, 1203)),
            ({"before": -5}, range(0)),
            ({"limit": 0}, range(0)),
            ({"limit": 1000}, range(1000)),
            ({"after": 3, "limit": 501}, range(4, 505)),
            ({"reverse": True}, range(1202, -1, -1)),
            ({"reverse": True, "limit": 50}, range(1202, 1152, -1)),
            ({"reverse": True, "before": 100, "limit": 3}, range(99, 96, -1)),
            ({"reverse": True, "before": 10**12, "after": 1000}, range(1202, 1000, -1)),
            ({"reverse": True, "before": 5, "after": 1}, range(4, 1, -1)),
        ],
        ids=str,
    )
    async def test_any_stretch_in_either_direction(self, log: EventLog, asked: dict[str, int], found: range) -> None:
        assert ids(await read(log, **asked)) == list(found)

    async def test_batches_are_bounded_in_number_and_in_bytes(self, log: EventLog) -> None:
        big = [replace(entry, text=entry.text + "x" * 100_000) for entry in entries(1203, 1209)]
        huge = replace(entries(1209, 1210)[0], text="y" * 600_000)
        await log.append([*big, huge], expected=1202, term=0)
        batches = [batch async for batch in log.read()]
        assert max(len(batch) for batch in batches) <= 500
        for batch in batches:
            assert len(batch) == 1 or sum(len(entry.text) for entry in batch) <= 256 * 1024
        assert [entry for batch in batches for entry in batch][-7:] == [*big, huge]
        assert (await read(log, reverse=True, limit=7))[::-1] == [*big, huge]

    async def test_a_slow_reader_keeps_nobody_from_writing(self, log: EventLog) -> None:
        reading = log.read()
        first = await anext(reading)
        await log.append(entries(1203, 1204), expected=1202, term=0)
        rest = [entry async for batch in reading for entry in batch]
        assert ids([*first, *rest]) == list(range(1204))

    async def test_many_readers_at_once_each_see_all(self, log: EventLog) -> None:
        found = await asyncio.gather(*(read(log) for _ in range(20)))
        assert all(ids(each) == list(range(1203)) for each in found)

    async def test_a_reading_ends_when_the_conversation_is_deleted(self, store: SessionStore, log: EventLog) -> None:
        reading = log.read()
        first = await anext(reading)
        await store.conversations.delete(TALK)
        assert [entry async for batch in reading for entry in batch] == []
        assert ids(first) == list(range(len(first)))


LATER = datetime(2031, 5, 6, 7, 8, 9, 101112, tzinfo=UTC)


class TestTerms:
    async def test_each_owner_has_a_higher_term(self, store: SessionStore) -> None:
        assert [await store.claim(TALK) for _ in range(3)] == [1, 2, 3]
        assert await store.claim(OTHER) == 1

    async def test_an_earlier_owner_writes_nothing(self, store: SessionStore) -> None:
        log, old = store.log(TALK), await store.claim(TALK)
        await log.append(entries(0, 1), expected=-1, term=old)
        new = await store.claim(TALK)
        with pytest.raises(Fenced) as refused:
            await log.append(entries(1, 2), expected=0, term=old)
        assert (refused.value.term, refused.value.newest) == (old, new)
        await log.append(entries(1, 2), expected=0, term=new)
        assert await log.head() == 1

    async def test_a_term_taken_counts_from_its_place_in_the_line(self, store: SessionStore) -> None:
        log, old = store.log(TALK), await store.claim(TALK)
        before = log.append(entries(0, 1), expected=-1, term=old)
        taking = asyncio.ensure_future(store.claim(TALK))
        assert await taking == old + 1
        await before
        with pytest.raises(Fenced):
            await log.append(entries(1, 2), expected=0, term=old)

    async def test_a_higher_term_shuts_out_the_lower_ones_by_writing(self, store: SessionStore) -> None:
        log = store.log(TALK)
        await log.append(entries(0, 1), expected=-1, term=7)
        with pytest.raises(Fenced):
            await log.append(entries(1, 2), expected=0, term=6)
        assert await store.claim(TALK) == 8

    async def test_what_was_taken_is_held_until_it_is_given_back(self, store: SessionStore) -> None:
        mine, theirs = await store.claim(TALK), await store.claim(OTHER)
        assert set(await store.held()) == {TALK, OTHER}
        await store.release(TALK, mine, LATER)
        assert list(await store.held()) == [OTHER]
        row = await store.conversations.get(TALK)
        assert row is not None
        assert row.updated_at == LATER
        newer = await store.claim(OTHER)
        await store.release(OTHER, theirs, LATER)
        assert list(await store.held()) == [OTHER]
        await store.conversations.delete(OTHER)
        await store.release(OTHER, newer, LATER)
        assert not await store.held()

    async def test_released_conversations_are_due_by_the_time_they_name_the_earliest_first(
        self, store: SessionStore
    ) -> None:
        for sid, moment in ((TALK, LATER), (OTHER, NOW)):
            await store.release(sid, await store.claim(sid), NOW, approval_due=moment)
        assert list(await store.approvals_due(10)) == [(OTHER, NOW), (TALK, LATER)]
        assert list(await store.approvals_due(1)) == [(OTHER, NOW)]
        term = await store.claim(OTHER)
        assert list(await store.approvals_due(10)) == [(TALK, LATER)]
        await store.release(OTHER, term, NOW)
        assert list(await store.approvals_due(10)) == [(TALK, LATER)]
        await store.conversations.delete(TALK)
        assert list(await store.approvals_due(10)) == []

    async def test_nobody_owns_what_is_not_there(self, store: SessionStore) -> None:
        with pytest.raises(NotFound):
            await store.claim(UNKNOWN)


class TestReceipts:
    async def test_a_receipt_is_kept_with_its_events(self, log: EventLog) -> None:
        receipt = Receipt(key="k-1", digest="d", event=EventId(0))
        await log.append(entries(0, 1), expected=-1, term=0, receipt=receipt)
        assert await log.receipt("k-1") == receipt
        assert await log.receipt("k-2") is None
        assert await log.receipt("\0k-1") is None
        assert await log.receipt("\ud800") is None

    async def test_a_refused_write_leaves_no_receipt(self, log: EventLog) -> None:
        with pytest.raises(Conflict):
            await log.append(entries(4, 5), expected=3, term=0, receipt=Receipt(key="k", digest="d", event=EventId(4)))
        assert await log.receipt("k") is None

    async def test_a_key_does_one_thing_only(self, log: EventLog) -> None:
        receipt = Receipt(key="k", digest="d", event=EventId(0))
        first = log.append(entries(0, 1), expected=-1, term=0, receipt=receipt)
        again = log.append(entries(1, 2), expected=0, term=0, receipt=replace(receipt, event=EventId(1)))
        await first
        with pytest.raises(AlreadyExists):
            await again
        assert await log.head() == 0
        assert await log.receipt("k") == receipt

    async def test_keys_belong_to_their_conversation(self, store: SessionStore) -> None:
        receipt = Receipt(key="k", digest="d", event=EventId(0))
        await store.log(TALK).append(entries(0, 1), expected=-1, term=0, receipt=receipt)
        assert await store.log(OTHER).receipt("k") is None
        await store.log(OTHER).append(entries(0, 1), expected=-1, term=0, receipt=receipt)


class TestClosing:
    async def test_writes_under_way_are_stored_before_the_block_ends(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            await store.conversations.create(row(TALK))
            log = store.log(TALK)
            sent = [log.append(entries(n, n + 1), expected=n - 1, term=0) for n in range(200)]
        assert all(each.done() and each.exception() is None for each in sent)

    async def test_a_closed_store_says_so(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            await store.conversations.create(row(TALK))
            log = store.log(TALK)
        with pytest.raises(StorageUnavailable):
            await log.append(entries(0, 1), expected=-1, term=0)
        with pytest.raises(StorageUnavailable):
            await log.head()
        with pytest.raises(StorageUnavailable):
            await store.conversations.create(row(OTHER))
