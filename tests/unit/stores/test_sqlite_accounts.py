"""Accounts in SQLite: what is damaged, what a restart finds, what is swept."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.adapters.stores.sqlite_check import check_sqlite
from openhands_sessions.core.errors import LimitReached, StorageError
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.core.quotas import Quota, Share
from openhands_sessions.ports.accounts import AccountEntry, Charge, ReservedShare
from openhands_sessions.ports.store import SessionStore
from tests.fakes.model import FakeModel
from tests.support.session_harness import SessionHarness, ask, only, says
from tests.support.store_entries import NOW, TALK, entries, row

TODAY = NOW.date()
QUOTA = Quota(tokens=1_500)
ENTRY = AccountEntry(TODAY, "fake", "main", calls=1, prompt_tokens=400, completion_tokens=100)
WANTED = ReservedShare(sid=TALK, number=1, user=LOCAL_OWNER, day=TODAY, model="fake", share=Share(tokens=1_000))


async def charged(store: SessionStore) -> None:
    await store.conversations.create(row(TALK))
    await store.log(TALK).append(entries(0, 1), expected=-1, term=0, charge=Charge(LOCAL_OWNER, ENTRY))


def run(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        found: list[tuple[object, ...]] = connection.execute(statement).fetchall()
        connection.commit()
    return found


async def test_a_restart_forgets_no_charge_and_no_reservation(path: Path) -> None:
    async with open_sqlite(path) as store:
        await charged(store)
        await store.accounts.reserve(WANTED, [QUOTA])
    async with open_sqlite(path) as store:
        assert await store.accounts.taken(LOCAL_OWNER, TODAY, [QUOTA]) == [Share(tokens=1_500)]
        with pytest.raises(LimitReached):
            await store.accounts.reserve(replace(WANTED, number=2), [QUOTA])
        await store.accounts.release(TALK)
        await store.accounts.reserve(replace(WANTED, number=2), [QUOTA])


async def test_a_damaged_account_lets_no_call_pass(path: Path) -> None:
    async with open_sqlite(path) as store:
        await charged(store)
    assert check_sqlite(path).sound
    run(path, "UPDATE accounts SET prompt_tokens = 0")
    [damage] = check_sqlite(path).damage
    assert f"'local' on {TODAY}" in str(damage)
    async with open_sqlite(path) as store:
        with pytest.raises(StorageError, match="damaged"):
            await store.accounts.entries(LOCAL_OWNER, TODAY, TODAY)
        harness = SessionHarness(store=store, model=FakeModel([says("never")]), quotas=[QUOTA])
        async with harness.live() as session:
            await ask(session, "go", "error")
            harness.quotas = ()
        states = only(await harness.events(), AgentStateChangedObservation)
        assert "damaged on the disk" in states[-1].reason
        async with harness.live() as session:
            await ask(session, "go on")
        assert store.problem is None


async def test_reservations_and_conversations_of_earlier_days_are_swept(path: Path) -> None:
    async with open_sqlite(path) as store:
        await charged(store)
        await store.accounts.reserve(WANTED, [QUOTA])
        await store.accounts.reserve(replace(WANTED, day=TODAY + timedelta(days=1)), [QUOTA])
        assert await store.accounts.entries(LOCAL_OWNER, TODAY, TODAY) == [ENTRY]
    assert run(path, "SELECT count(*) FROM account_conversations") == [(0,)]
    assert run(path, "SELECT day FROM account_reservations") == [((TODAY + timedelta(days=1)).isoformat(),)]
