"""A user's list as it changes: every change of its rows, of that user's alone, numbered without a gap."""

import asyncio
from dataclasses import replace

import pytest

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.money import dollars
from openhands_sessions.ports.conversations import ListChange
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.service.list_feed import KEPT
from openhands_sessions.service.local_list import LONGEST
from tests.fakes.model import FakeModel, FakeModels, FakeReply
from tests.support.list_reader import reading_list
from tests.support.service_layer import ADA, BOB, TALK, ServiceLayer, running_service
from tests.support.session_harness import finishes, say, says, state
from tests.support.store_entries import OTHER, row

FAKE = {"llm_model": "fake"}


async def test_a_list_begins_with_what_pages_show(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open("one", ADA)
        await service.open("two", ADA)
        await service.open("foreign", BOB)
        ada = service.of(ADA).conversations
        async with reading_list(ada) as reader:
            page = await ada.page(limit=10)
            [first] = reader.snapshots
            assert (first.number, first.next_page) == (0, None)
            assert first.conversations == page.conversations


async def test_of_more_rows_than_a_snapshot_has_pages_give_the_rest(store: SessionStore) -> None:
    service = ServiceLayer(store=store)
    for number in range(LONGEST + 2):
        await store.conversations.create(row(ConversationId(f"c{number:03}"), ADA))
    async with running_service(service):
        ada = service.of(ADA).conversations
        async with reading_list(ada) as reader:
            [first] = reader.snapshots
            assert len(first.conversations) == LONGEST
            rest = await ada.page(limit=10, page_id=first.next_page)
            assert [info.id for info in rest.conversations] == ["c001", "c000"]


async def test_a_conversation_comes_works_gets_a_title_and_goes(store: SessionStore) -> None:
    models = FakeModels(FakeModel([says("Hello.")]))
    async with (
        running_service(ServiceLayer(store=store, models=models)) as service,
        reading_list(service.conversations) as reader,
    ):
        session = await service.open(initial_message="hi", settings=FAKE)
        await state(session, "awaiting_user_input")
        rows = reader.rows
        await reader.until(lambda: TALK in rows and rows[TALK].state is SessionState.READY and rows[TALK].unread == 1)
        row = rows[TALK]
        assert (row.agent_state, row.processing, row.message_count) == ("awaiting_user_input", False, 2)
        assert row.cost == dollars(session.event_stream.view.spent.cost) > 0
        await service.conversations.rename(TALK, "New")
        await reader.until(lambda: rows[TALK].title == "New")
        await service.gateway.close(TALK, "stopped")
        await reader.until(lambda: rows[TALK].state is None)
        assert (rows[TALK].unread, rows[TALK].cost) == (1, dollars(session.event_stream.view.spent.cost))
        await service.conversations.rename(TALK, "Newer")
        await reader.until(lambda: rows[TALK].title == "Newer")
        await service.conversations.delete(TALK)
        await reader.until(lambda: TALK not in rows)
        assert reader.items[-1] == ListChange(reader.items[-1].number, TALK, None)
        assert len(reader.snapshots) == 1


async def test_queued_messages_and_costs_are_told_while_a_turn_runs(store: SessionStore, gate: asyncio.Event) -> None:
    models = FakeModels(FakeModel([FakeReply(text="Hm.", hold=gate), *[says("Well.")] * 3]))
    async with running_service(ServiceLayer(store=store, models=models)) as service:
        session = await service.open(initial_message="hi", settings=FAKE)
        async with reading_list(service.conversations) as reader:
            await reader.until(lambda: reader.rows[TALK].processing)
            await service.gateway.submit(TALK, SendMessage(content="later", mode="queue"))
            await reader.until(lambda: reader.rows[TALK].queued == 1)
            gate.set()
            await reader.until(lambda: reader.rows[TALK].queued == 0 and reader.rows[TALK].unread == 2)
            await state(session, "awaiting_user_input")


async def test_only_the_owners_followers_are_told(store: SessionStore) -> None:
    async with (
        running_service(ServiceLayer(store=store)) as service,
        reading_list(service.of(ADA).conversations) as ada,
        reading_list(service.of(BOB).conversations) as bob,
    ):
        await service.open("adas", ADA)
        await service.of(ADA).conversations.rename(ConversationId("adas"), "Mine")
        await service.open("bobs", BOB)
        await bob.until(lambda: bool(bob.rows))
        await ada.until(lambda: any(info.title == "Mine" for info in ada.rows.values()))
        assert {item.id for item in bob.items if isinstance(item, ListChange)} == {"bobs"}
        assert {item.id for item in ada.items if isinstance(item, ListChange)} == {"adas"}


async def test_a_snapshot_comes_when_it_is_asked_for_and_the_numbers_go_on(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service, reading_list(service.conversations) as reader:
        await service.open()
        await reader.until(lambda: TALK in reader.rows)
        last = reader.items[-1].number
        reader.renew()
        reader.renew()
        await reader.until_snapshots(2)
        assert reader.items[-1].number > last
        await service.conversations.rename(TALK, "New")
        await reader.until(lambda: reader.rows[TALK].title == "New")
        assert len(reader.snapshots) == 2


async def test_a_reader_that_falls_behind_gets_the_newest_rows_or_a_snapshot(store: SessionStore) -> None:
    service = ServiceLayer(store=store)
    async with running_service(service), reading_list(service.conversations) as reader:
        await store.conversations.create(row(TALK))
        for number in range(500):
            await service.conversations.rename(TALK, f"Title {number}")
        await reader.read()
        assert [type(item) for item in reader.items[1:]] == [ListChange]
        assert reader.rows[TALK].title == "Title 499"
        for number in range(KEPT + 1):
            service.directory.lists.changed(LOCAL_OWNER, ConversationId(f"{number}"))
        await reader.read()
        assert len(reader.snapshots) == 2
        assert list(reader.rows) == [TALK]


async def test_a_conversation_that_was_given_to_another_user_is_gone(store: SessionStore) -> None:
    service = ServiceLayer(store=store)
    await store.conversations.create(row(TALK))
    async with running_service(service), reading_list(service.conversations) as reader:
        await store.conversations.update(TALK, {"owner": BOB})
        service.directory.lists.changed(LOCAL_OWNER, TALK)
        await reader.until(lambda: TALK not in reader.rows)


async def test_the_list_ends_with_the_process_and_its_last_changes(store: SessionStore) -> None:
    service = ServiceLayer(store=store)
    async with running_service(service), reading_list(service.conversations) as reader:
        await service.open()
        await reader.until(lambda: TALK in reader.rows)
        await service.directory.close_all("shutdown")
        with pytest.raises(StopAsyncIteration):
            await reader.until(lambda: False)
        assert reader.rows[TALK].state is None


async def test_nothing_is_left_of_a_list_that_is_not_followed_any_more(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        async with reading_list(service.conversations):
            assert service.directory.lists.find(LOCAL_OWNER) is not None
        assert service.directory.lists.find(LOCAL_OWNER) is None
        await service.open()


async def test_what_was_read_is_not_counted_and_each_user_has_a_mark_of_its_own(store: SessionStore) -> None:
    models = FakeModels(FakeModel([says("One."), says("Two."), finishes("Three.")]))
    async with running_service(ServiceLayer(store=store, models=models)) as service:
        session = await service.open(initial_message="1", settings=FAKE)
        first = (await state(session, "awaiting_user_input")).id
        await state(session, "awaiting_user_input", (await say(session, "2")).id)
        last = (await state(session, "finished", (await say(session, "3")).id)).id

        async def unread() -> int | None:
            [info] = (await service.conversations.page(limit=1)).conversations
            assert info.unread == (await service.gateway.describe(TALK)).unread
            return info.unread

        assert await unread() == 3
        async with reading_list(service.conversations) as reader:
            assert await service.conversations.mark_read(TALK, first) == first
            await reader.until(lambda: reader.rows[TALK].unread == 2)
        assert await service.conversations.mark_read(TALK, EventId(0)) == first
        assert await unread() == 2
        assert await service.conversations.mark_read(TALK, last) == last
        assert await unread() == 0
        await service.gateway.close(TALK, "stopped")
        assert await unread() == 0
        assert await store.read_marks.marks(ADA, [TALK]) == {}
        assert await service.conversations.delete(TALK)
        with pytest.raises(NotFound):
            await service.conversations.mark_read(TALK, first)


async def test_a_mark_names_an_event_that_there_is_of_a_conversation_of_the_callers(store: SessionStore) -> None:
    await store.conversations.create(replace(row(OTHER), owner=BOB))
    await store.conversations.create(row(TALK))
    async with running_service(ServiceLayer(store=store)) as service:
        with pytest.raises(BadInput, match="event_id must be left out: there is no event yet"):
            await service.conversations.mark_read(TALK, EventId(0))
        head = (await service.open()).event_stream.view.head
        with pytest.raises(BadInput, match=f"event_id must be at most {head}"):
            await service.conversations.mark_read(TALK, EventId(head + 1))
        for sid in (OTHER, ConversationId("unknown")):
            with pytest.raises(NotFound):
                await service.conversations.mark_read(sid, EventId(0))
        assert await store.read_marks.marks(LOCAL_OWNER, [TALK, OTHER]) == {}
