"""What users' model calls have used, as every kind of SessionStore keeps it. The kinds stand in conftest.py."""

import asyncio
from dataclasses import replace
from datetime import date

import pytest

from openhands_sessions.core.errors import Conflict, LimitReached
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.quotas import Quota, Share
from openhands_sessions.ports.accounts import AccountEntry, Charge, ReservedShare
from openhands_sessions.ports.store import SessionStore
from tests.support.store_entries import OTHER, TALK, entries

ADA, BOB = OwnerId("ada"), OwnerId("bob")
TODAY, TOMORROW = date(2026, 11, 30), date(2026, 12, 1)
CALL = AccountEntry(
    TODAY,
    "openai/gpt-4o",
    "main",
    calls=1,
    prompt_tokens=900,
    completion_tokens=100,
    cache_read_tokens=7,
    micro_dollars=3_250,
)
WANTED = ReservedShare(
    sid=TALK, number=1, user=ADA, day=TODAY, model="openai/gpt-4o", share=Share(tokens=1_000, micro_dollars=4_000)
)


async def charge(store: SessionStore, *charges: Charge, sid: ConversationId = TALK) -> None:
    log = store.log(sid)
    for each in charges:
        head = await log.head()
        await log.append(entries(head + 1, head + 2), expected=head, term=0, charge=each)


async def test_charges_add_up_by_user_day_model_and_purpose(store: SessionStore) -> None:
    title = replace(CALL, purpose="title", lost=1, unpriced=1, micro_dollars=0)
    await charge(store, Charge(ADA, CALL), Charge(ADA, CALL), Charge(ADA, title), Charge(BOB, CALL))
    await charge(store, Charge(ADA, replace(CALL, day=TOMORROW)), sid=OTHER)
    twice = replace(
        CALL, calls=2, prompt_tokens=1_800, completion_tokens=200, cache_read_tokens=14, micro_dollars=6_500
    )
    assert await store.accounts.entries(ADA, TODAY, TODAY) == [twice, title]
    assert await store.accounts.entries(ADA, TODAY, TOMORROW) == [twice, title, replace(CALL, day=TOMORROW)]
    assert await store.accounts.entries(BOB, TODAY, TOMORROW) == [CALL]
    assert await store.accounts.entries(OwnerId("eve"), TODAY, TOMORROW) == []


async def test_an_append_that_is_refused_charges_nothing(store: SessionStore) -> None:
    with pytest.raises(Conflict):
        await store.log(TALK).append(entries(5, 6), expected=4, term=0, charge=Charge(ADA, CALL))
    assert await store.accounts.entries(ADA, TODAY, TODAY) == []


async def test_an_account_outlives_its_conversations(store: SessionStore) -> None:
    await charge(store, Charge(ADA, CALL))
    await store.conversations.delete(TALK)
    assert await store.accounts.entries(ADA, TODAY, TODAY) == [CALL]


@pytest.mark.parametrize("quota", [Quota(tokens=10_000), Quota(micro_dollars=40_000)])
async def test_of_calls_at_once_as_many_are_let_in_as_there_is_room_for(store: SessionStore, quota: Quota) -> None:
    calls = [
        store.accounts.reserve(replace(WANTED, sid=ConversationId(f"talk-{number}"), number=number), [quota])
        for number in range(100)
    ]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [outcome for outcome in outcomes if outcome is not None and not isinstance(outcome, LimitReached)] == []
    assert outcomes.count(None) == 10
    [taken] = await store.accounts.taken(ADA, TODAY, [quota])
    assert (taken.tokens, taken.micro_dollars) == (10_000, 40_000)


async def test_what_is_given_back_can_be_taken_again(store: SessionStore) -> None:
    quota = Quota(tokens=1_500)
    await store.accounts.reserve(WANTED, [quota])
    with pytest.raises(
        LimitReached, match=r"1,000 tokens of 1,500 tokens .* about 1,000 tokens.* 2026-12-01 00:00 UTC"
    ):
        await store.accounts.reserve(replace(WANTED, number=2), [quota])
    await store.accounts.release(TALK, 2)
    with pytest.raises(LimitReached):
        await store.accounts.reserve(replace(WANTED, number=2), [quota])
    await store.accounts.release(TALK, 1)
    await store.accounts.reserve(replace(WANTED, number=2), [quota])
    await store.accounts.release(TALK)
    await store.accounts.reserve(replace(WANTED, sid=OTHER), [quota])


async def test_what_calls_have_used_counts_in_place_of_what_they_had_reserved(store: SessionStore) -> None:
    quota = Quota(micro_dollars=10_000)
    await store.accounts.reserve(WANTED, [quota])
    await charge(store, Charge(ADA, CALL))
    await store.accounts.release(TALK, 1)
    assert await store.accounts.taken(ADA, TODAY, [quota]) == [Share(tokens=1_000, micro_dollars=3_250)]
    await store.accounts.reserve(replace(WANTED, number=2), [quota])
    with pytest.raises(LimitReached, match=r"\$0\.00725 of \$0\.01 are used or reserved"):
        await store.accounts.reserve(replace(WANTED, number=3), [quota])


async def test_a_quota_is_of_one_user_one_day_and_its_models(store: SessionStore) -> None:
    quota = Quota(models="openai/*", tokens=1_000)
    await store.accounts.reserve(WANTED, [quota])
    await store.accounts.reserve(replace(WANTED, user=BOB), [quota])
    await store.accounts.reserve(replace(WANTED, day=TOMORROW), [quota])
    assert await store.accounts.taken(ADA, TODAY, [Quota(models="anthropic/*", tokens=1)]) == [Share()]


async def test_all_quotas_must_have_room_or_nothing_is_reserved(store: SessionStore) -> None:
    wide, narrow = Quota(tokens=5_000), Quota(models="openai/*", tokens=999)
    with pytest.raises(LimitReached, match=r"the models openai/\*"):
        await store.accounts.reserve(WANTED, [wide, narrow])
    assert await store.accounts.taken(ADA, TODAY, [wide]) == [Share()]


async def test_a_conversation_counts_once_a_day_and_not_for_a_call_that_has_used_nothing(store: SessionStore) -> None:
    quota = Quota(models="openai/*", conversations=1)
    failed = replace(CALL, lost=1, prompt_tokens=0, completion_tokens=0, micro_dollars=0)
    await store.accounts.reserve(WANTED, [quota])
    with pytest.raises(LimitReached, match="1 conversations of 1 conversations"):
        await store.accounts.reserve(replace(WANTED, sid=OTHER), [quota])
    await charge(store, Charge(ADA, failed, counts=False))
    await store.accounts.release(TALK, 1)
    await store.accounts.reserve(replace(WANTED, sid=OTHER), [quota])
    await charge(store, Charge(ADA, CALL), sid=OTHER)
    await store.accounts.release(OTHER, 1)
    await store.accounts.reserve(replace(WANTED, sid=OTHER), [quota])
    with pytest.raises(LimitReached):
        await store.accounts.reserve(WANTED, [quota])
    await store.accounts.reserve(replace(WANTED, day=TOMORROW), [quota])
