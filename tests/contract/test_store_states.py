"""States, as every kind of SessionStore keeps them. The kinds stand in conftest.py."""

import asyncio
from datetime import UTC, datetime

import pytest

from openhands_sessions.core.errors import BadInput, DamagedRecord, NotFound, RevisionConflict, TooLarge
from openhands_sessions.core.events.codec import Stored, stored
from openhands_sessions.core.events.event import Json, Source
from openhands_sessions.core.events.own import HistoryMovedObservation, MoveReason
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId, OwnerId
from openhands_sessions.core.state import StateChange, StateOp, StateOperation
from openhands_sessions.ports.state import StateScope
from openhands_sessions.ports.store import LogBeginning, SessionStore
from tests.support.store_damage import Damage
from tests.support.store_entries import OTHER, TALK, UNKNOWN, OpenStore, entries, row

SESSION, ADA, APP = StateScope.session(TALK), StateScope.user(OwnerId("ada")), StateScope("app", "shop")
SCOPES = [SESSION, ADA, APP]
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


def change(id: str, *operations: StateOperation, **bases: int) -> StateChange:
    return StateChange(id=id, operations=operations, actor="ada", timestamp=NOON, bases=bases)


def setting(key: str, value: Json) -> StateOperation:
    return StateOperation(StateOp.SET, key, value)


ONE = StateOperation(StateOp.INCR, "n", 1)


async def said(store: SessionStore, count: int) -> EventId:
    """So many more events; the newest one."""
    log = store.log(TALK)
    head = await log.head()
    await log.append(entries(head + 1, head + 1 + count), expected=head, term=1)
    return EventId(head + count)


async def go_back(store: SessionStore, to: int, term: int = 1) -> None:
    log = store.log(TALK)
    head = await log.head()
    move = HistoryMovedObservation(
        id=EventId(head + 1),
        source=Source.USER,
        content="",
        to=EventId(to),
        reason=MoveReason.UNDO,
        branch="main",
        left_branch=str(head),
        left_tip=head,
    )
    await log.append([stored(move)], expected=head, term=term)


async def values(store: SessionStore, scope: StateScope = SESSION) -> dict[str, Json]:
    return (await store.states.read(scope)).values()


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_state_is_empty_until_something_is_set(store: SessionStore, scope: StateScope) -> None:
    assert await values(store, scope) == {}
    assert (await store.states.read(scope)).revision == 0
    assert await store.states.changes(scope, limit=9) == []


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_change_is_there_at_once_and_for_stores_that_are_opened_later(
    store: SessionStore, open_store: OpenStore, scope: StateScope
) -> None:
    list_of = StateOperation(StateOp.APPEND, "list", {"ä": [1.5, None]})
    done = await store.states.change(scope, change("one", setting("k", "v"), list_of, ONE))
    assert done.revision == 1
    assert {key: entry and entry.value for key, entry in done.entries.items()} == {
        "k": "v",
        "list": [{"ä": [1.5, None]}],
        "n": 1,
    }
    async with open_store() as other:
        state = await other.states.read(scope)
        assert state.entries == done.entries
        await other.states.change(scope, change("two", StateOperation(StateOp.DELETE, "k"), ONE))
    assert await values(store, scope) == {"list": [{"ä": [1.5, None]}], "n": 2}


async def test_states_do_not_mix(store: SessionStore) -> None:
    for number, scope in enumerate([*SCOPES, StateScope.session(OTHER), StateScope("app", "ada")]):
        await store.states.change(scope, change("same", setting("k", number)))
    assert [await values(store, scope) for scope in SCOPES] == [{"k": 0}, {"k": 1}, {"k": 2}]


async def test_a_change_that_comes_again_is_not_applied_again(store: SessionStore) -> None:
    await store.states.change(SESSION, change("one", ONE))
    await store.states.change(SESSION, change("two", ONE))
    again = await store.states.change(SESSION, change("one", ONE))
    assert again.revision == 1
    assert again.entries["n"] == (await store.states.read(SESSION)).entries["n"]
    assert await values(store) == {"n": 2}


@pytest.mark.parametrize("scope", SCOPES)
async def test_the_id_of_a_change_is_refused_for_another_one(store: SessionStore, scope: StateScope) -> None:
    await store.states.change(scope, change("one", ONE))
    for other in (StateOperation(StateOp.INCR, "n", 2), StateOperation(StateOp.INCR, "m", 1), setting("n", True)):
        with pytest.raises(BadInput, match="another change") as raised:
            await store.states.change(scope, change("one", other))
        assert raised.value.field == "id"
    assert await values(store, scope) == {"n": 1}
    assert (await store.states.change(scope, change("one", ONE))).revision == 1


async def test_what_is_refused_changes_nothing(store: SessionStore) -> None:
    await store.states.change(SESSION, change("one", setting("k", "text")))
    with pytest.raises(BadInput):
        await store.states.change(SESSION, change("two", setting("m", 1), StateOperation(StateOp.INCR, "k", 1)))
    with pytest.raises(TooLarge):
        await store.states.change(SESSION, change("three", setting("m", "x" * 70_000)))
    with pytest.raises(RevisionConflict) as raised:
        await store.states.change(SESSION, change("four", setting("k", "new"), k=0))
    assert (raised.value.ours, raised.value.theirs) == ("new", "text")
    assert await values(store) == {"k": "text"}
    assert (await store.states.read(SESSION)).revision == 1
    assert (await store.states.change(SESSION, change("two", ONE, k=1))).revision == 2


async def test_a_full_state_takes_what_makes_it_smaller(store: SessionStore) -> None:
    for number in range(4):
        await store.states.change(SESSION, change(str(number), setting(f"k{number}", "x" * 65_000)))
    with pytest.raises(TooLarge, match="262,144"):
        await store.states.change(SESSION, change("more", setting("k4", "x" * 65_000)))
    await store.states.change(SESSION, change("less", StateOperation(StateOp.DELETE, "k0")))
    await store.states.change(SESSION, change("more", setting("k4", "x" * 65_000)))
    assert [*await values(store)] == ["k1", "k2", "k3", "k4"]


async def test_of_additions_at_once_by_several_stores_none_is_lost(store: SessionStore, open_store: OpenStore) -> None:
    async with open_store() as other:
        await asyncio.gather(
            *(
                one.states.change(SESSION, change(f"{name}{number}", ONE))
                for number in range(50)
                for name, one in (("a", store), ("b", other))
            )
        )
    assert await values(store) == {"n": 100}


async def test_a_change_neither_needs_nor_disturbs_a_lease(store: SessionStore, open_store: OpenStore) -> None:
    term = await store.claim(TALK)
    async with open_store() as other:
        await other.states.change(SESSION, change("one", ONE))
    await store.log(TALK).append(entries(0, 2), expected=-1, term=term)
    assert await values(store) == {"n": 1}


async def test_the_log_of_changes_is_read_in_pieces(store: SessionStore) -> None:
    head = await said(store, 2)
    for number in range(5):
        await store.states.change(SESSION, change(str(number), setting("k", number)))
    found = await store.states.changes(SESSION, after=1, limit=2)
    assert [(each.revision, each.at, each.change.id) for each in found] == [(2, head, "1"), (3, head, "2")]
    assert found[0].change == change("1", setting("k", 1))
    await store.states.change(ADA, change("x", ONE))
    [theirs] = await store.states.changes(ADA, limit=9)
    assert theirs.at == UNNUMBERED


async def test_the_state_of_a_session_goes_back_with_its_history_and_forth_again(store: SessionStore) -> None:
    await store.states.change(SESSION, change("before", setting("first", True)))
    early = await said(store, 4)
    await store.states.change(SESSION, change("early", ONE, setting("k", "early")))
    late = await said(store, 4)
    await store.states.change(SESSION, change("late", ONE, setting("k", "late")))
    await store.states.change(ADA, change("ada", ONE))
    await go_back(store, early)
    assert await values(store) == {"first": True, "n": 1, "k": "early"}
    await store.states.change(SESSION, change("other", ONE, setting("more", 1)))
    assert await values(store) == {"first": True, "n": 2, "k": "early", "more": 1}
    await go_back(store, late)
    assert await values(store) == {"first": True, "n": 2, "k": "late"}
    assert (await store.states.read(SESSION)).revision == 4
    await store.states.change(SESSION, change("last", ONE))
    assert await values(store) == {"first": True, "n": 3, "k": "late"}
    assert await values(store, ADA) == {"n": 1}


async def test_a_move_that_was_read_before_a_change_counts_for_its_bases(store: SessionStore) -> None:
    early = await said(store, 2)
    await store.states.change(SESSION, change("one", setting("k", 1)))
    await said(store, 2)
    await store.states.change(SESSION, change("two", setting("k", 2)))
    await go_back(store, early)
    with pytest.raises(RevisionConflict):
        await store.states.change(SESSION, change("three", setting("k", 3), k=2))
    await store.states.change(SESSION, change("three", setting("k", 3), k=1))
    assert await values(store) == {"k": 3}


async def test_what_is_no_move_moves_no_state(store: SessionStore) -> None:
    head = await said(store, 2)
    await store.states.change(SESSION, change("one", ONE))
    strange = Stored(EventId(head + 1), "observation:history_moved", 1, '{"id": 2, "observation": "history_moved"}')
    await store.log(TALK).append([strange], expected=head, term=1)
    assert await values(store) == {"n": 1}


async def test_the_state_of_a_session_goes_with_its_conversation(store: SessionStore) -> None:
    for scope in SCOPES:
        await store.states.change(scope, change("one", ONE))
    assert await store.conversations.delete(TALK)
    for asked in (SESSION, StateScope.session(UNKNOWN)):
        with pytest.raises(NotFound):
            await store.states.read(asked)
        with pytest.raises(NotFound):
            await store.states.change(asked, change("two", ONE))
        with pytest.raises(NotFound):
            await store.states.changes(asked, limit=1)
    assert await values(store, ADA) == await values(store, APP) == {"n": 1}


async def test_a_damaged_state_is_never_given_as_if_it_were_whole(store: SessionStore, damage: Damage) -> None:
    await store.states.change(SESSION, change("one", setting("k", "important")))
    await store.states.change(StateScope.session(OTHER), change("one", ONE))
    damage(TALK)
    with pytest.raises(DamagedRecord):
        await store.states.read(SESSION)
    assert await values(store, StateScope.session(OTHER)) == {"n": 1}


async def test_a_state_is_read_as_it_was_at_an_earlier_event(store: SessionStore) -> None:
    early = await said(store, 2)
    await store.states.change(SESSION, change("one", ONE))
    late = await said(store, 2)
    await store.states.change(SESSION, change("two", ONE))
    found = [(await store.states.read(SESSION, at=at)).values() for at in (EventId(early - 1), early, late, None)]
    assert found == [{}, {"n": 1}, {"n": 2}, {"n": 2}]


async def test_a_conversation_may_begin_with_a_state_that_no_move_takes_back(store: SessionStore) -> None:
    sid = ConversationId("fork")
    begins = LogBeginning(entries=entries(0, 6), state=change("fork", setting("k", 1)))
    await store.conversations.create(row(sid), begins=begins)
    for at in (None, EventId(0)):
        assert (await store.states.read(StateScope.session(sid), at=at)).values() == {"k": 1}


async def test_a_page_of_long_changes_ends_early_and_goes_on_after_its_last_one(store: SessionStore) -> None:
    long = (setting("k", "x" * 60_000),) * 15
    for number in range(6):
        await store.states.change(SESSION, change(str(number), *long))
    pages: list[int] = []
    after = 0
    while page := await store.states.changes(SESSION, after=after, limit=1_000):
        pages.append(len(page))
        after = page[-1].revision
    assert pages == [4, 2]
    await store.states.change(SESSION, change("enormous", *(setting("k", "x" * 60_000),) * 80))
    [one] = await store.states.changes(SESSION, after=after, limit=2)
    assert one.change.id == "enormous"
