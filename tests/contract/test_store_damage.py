"""What every kind of SessionStore promises of data that the disk has changed: an error of that conversation, never
altered content."""

import pytest

from openhands_sessions.core.errors import DamagedRecord
from openhands_sessions.core.ids import LOCAL_OWNER, EventId
from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.sharing import Grant, Grantee
from openhands_sessions.ports.store import SessionStore, Snapshot
from tests.support.store_damage import Damage, read_all
from tests.support.store_entries import NOW, OTHER, TALK, entries, ids, read, row


@pytest.fixture
async def filled(store: SessionStore) -> SessionStore:
    """A store whose conversations have 700 events each."""
    for sid in (TALK, OTHER):
        await store.log(sid).append(entries(0, 700), expected=-1, term=0)
    return store


@pytest.mark.parametrize("reverse", [False, True])
async def test_all_but_the_damaged_events_is_read(filled: SessionStore, damage: Damage, reverse: bool) -> None:
    damage(TALK, 0, 7, 8, 9, 600, 699)
    found, damaged = await read_all(filled.log(TALK), reverse=reverse)
    stretches = [(0, 0), (7, 9), (600, 600), (699, 699)]
    assert damaged == (stretches[::-1] if reverse else stretches)
    sound = [entry for entry in entries(0, 700) if entry.id not in (0, 7, 8, 9, 600, 699)]
    assert found == (sound[::-1] if reverse else sound)


async def test_a_reading_gives_what_comes_before_the_damage_and_names_it(filled: SessionStore, damage: Damage) -> None:
    damage(TALK, 5)
    reading = filled.log(TALK).read(2)
    assert ids(await anext(reading)) == [3, 4]
    with pytest.raises(DamagedRecord, match=r"event 5 .* damaged .* restore a backup") as told:
        await anext(reading)
    assert (told.value.conversation, told.value.first, told.value.last) == (TALK, 5, 5)
    assert ids(await read(filled.log(TALK), after=5, limit=2)) == [6, 7]
    assert ids(await read(filled.log(TALK), before=5)) == [0, 1, 2, 3, 4]


async def test_other_conversations_are_read_and_written_and_the_store_goes_on(
    filled: SessionStore, damage: Damage
) -> None:
    damage(TALK, 5)
    await read_all(filled.log(TALK))
    assert await read(filled.log(OTHER)) == entries(0, 700)
    await filled.log(OTHER).append(entries(700, 701), expected=699, term=0)
    assert filled.problem is None
    assert await filled.conversations.get(TALK) == row(TALK)


async def test_a_damaged_row_is_an_error_of_its_conversation_and_no_list_fails(
    filled: SessionStore, damage: Damage
) -> None:
    damage(TALK)
    for asked in (filled.conversations.get(TALK), filled.conversations.update(TALK, {"archived": True})):
        with pytest.raises(DamagedRecord):
            await asked
    for limit in (1, 2, 10):
        assert await filled.conversations.page(None, limit=limit) == [row(OTHER)]
    assert await read(filled.log(TALK)) == entries(0, 700)
    assert await filled.conversations.delete(TALK)


async def test_a_damaged_snapshot_is_passed_over(filled: SessionStore, damage: Damage) -> None:
    await filled.snapshots.save(TALK, Snapshot(EventId(10), 1, "view"))
    damage(TALK)
    assert await filled.snapshots.load(TALK) is None
    later = Snapshot(EventId(20), 1, "later")
    await filled.snapshots.save(TALK, later)
    assert await filled.snapshots.load(TALK) == later


async def test_a_damaged_share_lets_nobody_in(filled: SessionStore, damage: Damage) -> None:
    vera = Grantee("user", "vera")
    share = Grant(grantee=vera, permission=Permission.VIEW, created_at=NOW)
    for sid in (TALK, OTHER):
        await filled.shares.put(sid, share, most=10)
    damage(TALK)
    assert await filled.shares.permissions(vera, [TALK, OTHER]) == {OTHER: Permission.VIEW}
    assert (await filled.shares.of(TALK), await filled.shares.of(OTHER)) == ([], [share])
    await filled.shares.put(TALK, share, most=10)
    assert await filled.shares.of(TALK) == [share]


async def test_a_damaged_read_mark_counts_as_none(filled: SessionStore, damage: Damage) -> None:
    for sid in (TALK, OTHER):
        await filled.read_marks.raise_to(LOCAL_OWNER, sid, EventId(10))
    damage(TALK)
    assert await filled.read_marks.marks(LOCAL_OWNER, [TALK, OTHER]) == {OTHER: 10}
    assert await filled.read_marks.raise_to(LOCAL_OWNER, TALK, EventId(5)) == 5
    assert await filled.read_marks.marks(LOCAL_OWNER, [TALK]) == {TALK: 5}
