"""What every kind of SessionStore keeps besides logs: rows, snapshots, and nothing of what was deleted."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from openhands_sessions.core.errors import AlreadyExists, BadInput, Conflict, LimitReached, NotFound
from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from openhands_sessions.core.repository import Repository
from openhands_sessions.core.snapshots import kept
from openhands_sessions.ports.conversations import ANY_CONVERSATION, ConversationFilter
from openhands_sessions.ports.store import (
    ImportProgress,
    LogBeginning,
    Receipt,
    RowChanges,
    SessionStore,
    Snapshot,
    StoredLimits,
)
from tests.support.store_entries import NOW, OTHER, TALK, UNKNOWN, entries, ids, read, row

ADA, BOB = OwnerId("ada"), OwnerId("bob")


class TestConversations:
    async def test_a_row_comes_back_as_it_went_in(self, store: SessionStore) -> None:
        made = replace(
            row(ConversationId("new"), owner=ADA),
            title="Fix the «build» 🎉",
            trigger="api",
            initial_message="begin",
            images_key="images",
            replay_key="steps",
            repository=Repository(name="a/b", url="https://example.org/a/b.git", branch="dev", provider="gitlab"),
            checkout=True,
            imported=ImportProgress(runs=[[0, 1, 2]], through=7, head=8),
            forked_from=TALK,
            sandbox="shared",
            archived=True,
            began_with={"confirmation_mode": True, "security_analyzer": None},
            settings={"model": "\ud800 odd", "limits": {"cost": 1.5, "iterations": None}, "tools": ["bash", 2**70]},
        )
        await store.conversations.create(made)
        assert await store.conversations.get(made.id) == made

    async def test_a_log_begins_with_its_row_or_not_at_all(self, store: SessionStore) -> None:
        new, receipt = ConversationId("new"), Receipt(key="k", digest="d", event=EventId(1))
        snapshot = Snapshot(EventId(4), 3, "view")
        begins = LogBeginning(entries=entries(0, 5), snapshots=[snapshot], receipt=receipt)
        with pytest.raises(AlreadyExists):
            await store.conversations.create(row(TALK), begins=begins)
        assert await store.log(TALK).head() == -1
        with pytest.raises(LimitReached):
            await store.conversations.create(row(new), limits=StoredLimits(1, 10**9), begins=begins)
        odd = replace(begins.entries[0], text="\ud800")
        with pytest.raises(BadInput, match="text"):
            await store.conversations.create(row(new), begins=replace(begins, entries=[odd]))
        assert await store.conversations.get(new) is None
        await store.conversations.create(row(new), begins=begins)
        assert await read(store.log(new)) == begins.entries
        assert await store.log(new).receipt("k") == receipt
        assert await store.snapshots.load(new) == snapshot
        await store.log(new).append(entries(5, 6), expected=4, term=await store.claim(new))
        assert ids(await read(store.log(new))) == list(range(6))

    async def test_the_bytes_of_a_log_that_begins_count_for_its_owner(self, store: SessionStore) -> None:
        begins = LogBeginning(entries=entries(0, 5))
        await store.conversations.create(row(ConversationId("a"), owner=ADA), begins=begins)
        size = sum(len(entry.text) for entry in begins.entries)
        with pytest.raises(LimitReached):
            await store.conversations.create(row(ConversationId("b"), owner=ADA), limits=StoredLimits(9, size))
        await store.conversations.create(row(ConversationId("b"), owner=ADA), limits=StoredLimits(9, size + 1))

    async def test_what_a_caller_changes_afterwards_is_not_stored(self, store: SessionStore) -> None:
        made = replace(row(ConversationId("new")), settings={"a": 1})
        await store.conversations.create(made)
        made.settings["a"] = 2
        found = await store.conversations.get(made.id)
        assert found is not None
        assert found.settings == {"a": 1}

    async def test_an_id_is_taken_once(self, store: SessionStore) -> None:
        with pytest.raises(AlreadyExists):
            await store.conversations.create(row(TALK, owner=BOB))

    async def test_of_many_who_want_an_id_one_gets_it(self, store: SessionStore) -> None:
        wanted = ConversationId("wanted")
        outcomes = await asyncio.gather(
            *(store.conversations.create(row(wanted)) for _ in range(10)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes].count(AlreadyExists) == 9

    async def test_an_unknown_one_is_none(self, store: SessionStore) -> None:
        assert await store.conversations.get(UNKNOWN) is None

    @pytest.mark.parametrize("repository", [None, Repository()])
    async def test_an_empty_checkout_differs_from_none(
        self, store: SessionStore, repository: Repository | None
    ) -> None:
        made = replace(row(ConversationId("new")), repository=repository, checkout=repository is not None)
        await store.conversations.create(made)
        assert await store.conversations.get(made.id) == made

    async def test_update_changes_the_named_fields_and_the_version_only(self, store: SessionStore) -> None:
        later = NOW + timedelta(hours=1)
        before = await store.conversations.get(TALK)
        assert before is not None
        progress = ImportProgress(runs=[], through=3, head=2)
        for number, change in enumerate(
            (
                RowChanges(title="t"),
                RowChanges(owner=BOB, updated_at=later),
                RowChanges(imported=progress, archived=True, sandbox="s"),
                RowChanges(title=None, imported=None, began_with={}),
                RowChanges(began_with=None),
                RowChanges(),
            ),
            before.version + 1,
        ):
            before = replace(before, **change, version=number)
            assert await store.conversations.update(TALK, change) == before
            assert await store.conversations.get(TALK) == before
        assert [each.id for each in await store.conversations.page(BOB, limit=9)] == [TALK]

    async def test_an_update_of_another_version_is_refused_and_changes_nothing(self, store: SessionStore) -> None:
        first = await store.conversations.update(TALK, {"title": "first"}, if_version=1)
        with pytest.raises(Conflict) as refused:
            await store.conversations.update(TALK, {"title": "second"}, if_version=1)
        assert (refused.value.expected, refused.value.found) == (1, 2)
        assert await store.conversations.get(TALK) == first
        assert (await store.conversations.update(TALK, {"title": "third"}, if_version=2)).title == "third"

    async def test_of_many_updates_of_one_version_one_is_made(self, store: SessionStore) -> None:
        updates = (store.conversations.update(TALK, {"title": str(n)}, if_version=1) for n in range(10))
        outcomes = await asyncio.gather(*updates, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes].count(Conflict) == 9

    async def test_update_of_an_unknown_one_is_refused(self, store: SessionStore) -> None:
        for version in (None, 1):
            with pytest.raises(NotFound):
                await store.conversations.update(UNKNOWN, {"title": "t"}, if_version=version)

    async def test_text_that_no_file_can_hold_is_refused(self, store: SessionStore) -> None:
        odd, new = "\udc00", row(UNKNOWN)
        for made in (
            replace(new, title=odd),
            replace(new, initial_message=odd),
            replace(new, repository=Repository(name=odd)),
        ):
            with pytest.raises(BadInput):
                await store.conversations.create(made)
        with pytest.raises(BadInput):
            await store.conversations.update(TALK, {"title": odd})

    async def test_a_page_has_what_matches_and_nothing_else(self, store: SessionStore) -> None:
        for n in range(24):
            made = replace(
                row(ConversationId(f"n{n:02}"), owner=ADA),
                repository=Repository(name=f"a/{n % 2}") if n % 3 else None,
                trigger="slack" if n % 4 else "gui",
            )
            await store.conversations.create(made)
        for wanted, expected in (
            (ANY_CONVERSATION, list(range(24))),
            (ConversationFilter(id_prefix="n1"), list(range(10, 20))),
            (ConversationFilter(id_prefix="n1", trigger="gui"), [12, 16]),
            (ConversationFilter(id_prefix="N1"), []),
            (ConversationFilter(id_prefix="n_"), []),
            (ConversationFilter(repository="a/1"), [n for n in range(24) if n % 3 and n % 2]),
            (ConversationFilter(trigger="gui"), [n for n in range(24) if not n % 4]),
            (ConversationFilter(repository="a/0", trigger="gui"), [n for n in range(24) if n % 3 and not n % 4]),
            (ConversationFilter(repository="a"), []),
        ):
            assert await pages(store, ADA, 3, wanted) == [f"n{n:02}" for n in reversed(expected)]
            assert await store.conversations.count(ADA, wanted) == len(expected)
            assert await pages(store, BOB, 3, wanted) == []
            assert await store.conversations.count(BOB, wanted) == 0

    @pytest.mark.parametrize(
        ("search", "found"),
        [
            ("report", ["title", "message"]),
            ("REPORT", ["title", "message"]),
            ("100%", ["message"]),
            ("a_b", ["title"]),
            ("^", []),
            ("axb", []),
            ("größe", ["title"]),
        ],
    )
    async def test_a_search_looks_into_titles_and_first_messages(
        self, store: SessionStore, search: str, found: list[str]
    ) -> None:
        made = row(ConversationId("title"), owner=ADA)
        await store.conversations.create(replace(made, title="The Report on größe a_b"))
        made = row(ConversationId("message"), owner=ADA)
        await store.conversations.create(replace(made, initial_message="write the report\n100% done"))
        await store.conversations.create(row(ConversationId("bare"), owner=ADA))
        wanted = ConversationFilter(search=search)
        assert sorted(await pages(store, ADA, 9, wanted)) == sorted(found)
        assert await store.conversations.count(ADA, wanted) == len(found)

    async def test_pages_join_without_gap_or_repeat(self, store: SessionStore) -> None:
        for n in range(25):  # five at each moment, so that ids decide within one
            moment = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(microseconds=n // 5)
            made = replace(row(ConversationId(f"n{n:02}"), owner=ADA if n % 2 else BOB), created_at=moment)
            await store.conversations.create(made)
        assert await pages(store, ADA, 4) == [f"n{n:02}" for n in range(24, -1, -1) if n % 2]
        assert await pages(store, BOB, 100) == [f"n{n:02}" for n in range(24, -1, -1) if not n % 2]
        assert await pages(store, None, 7) == [TALK, OTHER, *(f"n{n:02}" for n in range(24, -1, -1))]

    async def test_a_page_of_nothing_is_empty(self, store: SessionStore) -> None:
        assert await store.conversations.page(ADA, limit=10) == []
        assert await store.conversations.page(None, limit=0) == []


async def pages(
    store: SessionStore, owner: OwnerId | None, limit: int, matching: ConversationFilter = ANY_CONVERSATION
) -> list[str]:
    found: list[str] = []
    before = None
    while page := await store.conversations.page(owner, limit=limit, before=before, matching=matching):
        assert len(page) <= limit
        found += [each.id for each in page]
        before = (page[-1].created_at, page[-1].id)
    return found


class TestDeleting:
    async def test_a_deleted_conversation_leaves_nothing_to_find(self, store: SessionStore) -> None:
        log = store.log(TALK)
        await log.append(entries(0, 5), expected=-1, term=0, receipt=Receipt(key="k", digest="d", event=EventId(0)))
        await store.snapshots.save(TALK, Snapshot(EventId(4), 1, "{}"))
        assert await store.conversations.delete(TALK) is True
        assert await store.conversations.get(TALK) is None
        assert await store.snapshots.load(TALK) is None
        assert await log.receipt("k") is None
        assert await log.head() == -1
        assert await read(log) == []
        assert [each.id for each in await store.conversations.page(None, limit=9)] == [OTHER]

    async def test_a_deleted_conversation_takes_nothing(self, store: SessionStore) -> None:
        log = store.log(TALK)
        await log.append(entries(0, 1), expected=-1, term=0)
        await store.conversations.delete(TALK)
        with pytest.raises(NotFound):
            await log.append(entries(1, 2), expected=0, term=0)
        with pytest.raises(NotFound):
            await store.claim(TALK)
        with pytest.raises(NotFound):
            await store.conversations.update(TALK, {"title": "t"})
        await store.snapshots.save(TALK, Snapshot(EventId(0), 1, "{}"))
        assert await store.snapshots.load(TALK) is None

    async def test_its_id_is_never_used_again(self, store: SessionStore) -> None:
        await store.conversations.delete(TALK)
        with pytest.raises(AlreadyExists):
            await store.conversations.create(row(TALK))

    async def test_it_is_deleted_once(self, store: SessionStore) -> None:
        await store.conversations.delete(TALK)
        assert await store.conversations.delete(TALK) is False
        assert await store.conversations.delete(UNKNOWN) is False

    async def test_others_keep_theirs(self, store: SessionStore) -> None:
        await store.log(TALK).append(entries(0, 3), expected=-1, term=0)
        await store.log(OTHER).append(entries(0, 3), expected=-1, term=0)
        await store.conversations.delete(TALK)
        await store.log(OTHER).append(entries(3, 4), expected=2, term=0)
        assert ids(await read(store.log(OTHER))) == [0, 1, 2, 3]


class TestLimits:
    async def test_a_user_has_as_many_as_may_be_also_of_creations_at_once(self, store: SessionStore) -> None:
        limits = StoredLimits(5, 10**6)
        made = [row(ConversationId(f"c{number}"), owner=ADA) for number in range(20)]
        outcomes = await asyncio.gather(
            *(store.conversations.create(each, limits=limits) for each in made), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [LimitReached] * 15
        assert await store.conversations.count(ADA) == 5
        await store.conversations.create(row(ConversationId("of-bob"), owner=BOB), limits=limits)

    async def test_events_first_messages_and_files_count_until_they_are_deleted(self, store: SessionStore) -> None:
        size = len("größe".encode())
        added = entries(0, 3, "größe")
        stored = size + 10 + sum(len(entry.text.encode()) for entry in added)
        first = replace(row(ConversationId("first"), owner=ADA), initial_message="größe")
        await store.conversations.create(first, files=10)
        await store.log(first.id).append(added, expected=-1, term=0)
        with pytest.raises(LimitReached) as refused:
            await store.conversations.create(row(ConversationId("b"), owner=ADA), limits=StoredLimits(9, stored))
        assert (refused.value.count, refused.value.limit) == (stored, stored)
        await store.conversations.create(row(ConversationId("b"), owner=ADA), limits=StoredLimits(9, stored + 1))
        await store.conversations.delete(first.id)
        await store.conversations.create(row(ConversationId("c"), owner=ADA), limits=StoredLimits(9, 1))

    async def test_what_is_refused_for_another_reason_does_not_count(self, store: SessionStore) -> None:
        await store.conversations.create(made := row(ConversationId("first"), owner=ADA))
        await store.log(made.id).append(entries(0, 1), expected=-1, term=0)
        with pytest.raises(Conflict):
            await store.log(made.id).append(entries(3, 9), expected=2, term=0)
        one = len(entries(0, 1)[0].text.encode())
        await store.conversations.create(row(ConversationId("b"), owner=ADA), limits=StoredLimits(9, one + 1))


class TestSnapshots:
    async def test_the_newest_is_loaded_or_the_newest_up_to_an_event(self, store: SessionStore) -> None:
        assert await store.snapshots.load(TALK) is None
        for head in (1_000, 3_000, 2_000):
            await store.snapshots.save(TALK, Snapshot(EventId(head), 1, f'{{"ü":{head}}}'))
        assert await store.snapshots.load(TALK) == Snapshot(EventId(3_000), 1, '{"ü":3000}')
        for at, found in ((999, None), (1_000, 1_000), (2_999, 2_000), (9_999, 3_000)):
            snapshot = await store.snapshots.load(TALK, EventId(at))
            assert (snapshot and snapshot.head) == found
        assert await store.snapshots.load(OTHER) is None

    async def test_older_ones_are_thinned(self, store: SessionStore) -> None:
        saved = [EventId(head) for head in range(500, 60_000, 500)]
        for head in saved:
            await store.snapshots.save(TALK, Snapshot(head, 1, "{}"))
        assert await heads(store, saved[-1]) == list(kept(saved))

    async def test_one_of_another_version_replaces_all(self, store: SessionStore) -> None:
        for head, version in ((1_000, 1), (2_000, 1), (1_500, 2)):
            await store.snapshots.save(TALK, Snapshot(EventId(head), version, "{}"))
        assert await store.snapshots.load(TALK) == Snapshot(EventId(1_500), 2, "{}")
        assert await store.snapshots.load(TALK, EventId(1_499)) is None

    async def test_one_of_the_same_event_is_replaced(self, store: SessionStore) -> None:
        for text in ("a", "b"):
            await store.snapshots.save(TALK, Snapshot(EventId(5), 1, text))
        assert await store.snapshots.load(TALK) == Snapshot(EventId(5), 1, "b")

    async def test_one_of_an_unknown_conversation_is_not_kept(self, store: SessionStore) -> None:
        await store.snapshots.save(UNKNOWN, Snapshot(EventId(1), 1, "{}"))
        assert await store.snapshots.load(UNKNOWN) is None


async def heads(store: SessionStore, newest: int) -> list[int]:
    """Of all snapshots, ascending."""
    found: list[int] = []
    at = newest
    while (snapshot := await store.snapshots.load(TALK, EventId(at))) is not None:
        found.append(snapshot.head)
        at = snapshot.head - 1
    return found[::-1]
