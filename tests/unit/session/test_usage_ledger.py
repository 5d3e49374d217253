"""What each model call has used is one event, and counts against its user's quotas."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from openhands_sessions.core.commands import Stop
from openhands_sessions.core.errors import ModelFailure, NotAccepting
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import CallOutcome, ModelCalledObservation
from openhands_sessions.core.history_commands import Compact
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.core.quotas import Quota, Share
from openhands_sessions.ports.accounts import ReservedShare
from openhands_sessions.ports.model import LostCall, Usage
from openhands_sessions.ports.store import SessionStore
from tests.fakes.model import FAKE_COST, FakeModel, FakeReply
from tests.fakes.store import MortalStore
from tests.support.session_harness import SessionHarness, ask, only, runs, say, says, state
from tests.support.store_entries import NOW, OTHER

TODAY = NOW.date()
TIGHT = Quota(models="fake*", conversations=1)


def scene(store: SessionStore, *replies: FakeReply, quotas: Sequence[Quota] = ()) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies), quotas=quotas)


async def records(harness: SessionHarness) -> list[ModelCalledObservation]:
    return only(await harness.events(), ModelCalledObservation)


def outcomes(found: Sequence[ModelCalledObservation]) -> list[tuple[str, str, int | None]]:
    return [(one.purpose, one.outcome, one.micro_dollars) for one in found]


async def reason_of_error(harness: SessionHarness) -> str:
    states = only(await harness.events(), AgentStateChangedObservation)
    return next(one.reason for one in reversed(states) if one.agent_state == "error")


async def test_each_call_is_recorded_before_what_it_led_to(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1"), says("Done.", finish="stop"))
    async with harness.live() as session:
        await ask(session, "go")
        assert session.event_stream.view.spent.cost == 2 * FAKE_COST
    kinds = [event.KIND for event in await harness.events()]
    calls = [place for place, kind in enumerate(kinds) if kind == "model_called"]
    assert [kinds[place + 1] for place in calls] == ["run", "message"]
    first, second = await records(harness)
    assert (first.model, first.prompt_tokens, first.completion_tokens) == ("fake", 10, 5)
    assert (second.finish_reason, second.response_id, second.turn) == ("stop", "reply-3", first.turn)


async def test_tries_that_fail_cost_what_is_known_of_them(store: SessionStore) -> None:
    lost = LostCall(status="STATUS$ERROR_LLM_SERVICE_UNAVAILABLE", usage=Usage(prompt_tokens=7, cost=70))
    harness = scene(store, says("There.", lost=[lost, LostCall(status="STATUS$ERROR")]))
    async with harness.live() as session:
        await ask(session, "go")
        assert session.event_stream.view.spent.cost == FAKE_COST + 70
    found = await records(harness)
    assert outcomes(found) == [("main", "failed", 70), ("main", "failed", None), ("main", "answered", FAKE_COST)]
    assert found[0].status == "STATUS$ERROR_LLM_SERVICE_UNAVAILABLE"
    [entry] = await store.accounts.entries(LOCAL_OWNER, TODAY, TODAY)
    assert (entry.calls, entry.lost, entry.unpriced, entry.micro_dollars) == (3, 2, 1, FAKE_COST + 70)


async def test_a_call_that_fails_for_good_or_is_stopped_is_recorded(store: SessionStore, gate: asyncio.Event) -> None:
    failing = FakeReply(text="x", fail=ModelFailure("STATUS$ERROR_LLM_OUT_OF_CREDITS", "No credits."))
    harness = scene(store, failing, says("I think about it.", hold=gate))
    async with harness.live() as session:
        await ask(session, "go", "error")
        accepted = await say(session, "again")
        await harness.model.asked(2)
        await session.submit(Stop())
        await state(session, "stopped", accepted.id)
    failed, stopped = await records(harness)
    assert (failed.outcome, failed.status) == (CallOutcome.FAILED, "STATUS$ERROR_LLM_OUT_OF_CREDITS")
    assert (stopped.outcome, stopped.status, stopped.micro_dollars) == (CallOutcome.CANCELLED, None, None)


async def test_summaries_and_titles_have_their_own_purposes(store: SessionStore) -> None:
    harness = scene(store, *(says(f"Answer {number}.") for number in range(8)), says("Summary."), says("A title"))
    async with harness.live() as session:
        for number in range(8):
            await ask(session, f"question {number}, which is rather long " + "and longer " * 50)
        await session.submit(Compact())
        assert session.agent is not None
        assert await session.agent.title("question") == "A title"
        await session.event_stream.quiet()
        assert session.event_stream.view.spent.cost == 10 * FAKE_COST
    assert [one.purpose for one in await records(harness)] == ["main"] * 8 + ["condense", "title"]
    by_purpose = {one.purpose: one.calls for one in await store.accounts.entries(LOCAL_OWNER, TODAY, TODAY)}
    assert by_purpose == {"main": 8, "condense": 1, "title": 1}


@pytest.mark.parametrize(
    "usage", [Usage(prompt_tokens=10**30, cost=-5), Usage(prompt_tokens=-1, latency=float("nan"), cost=10**30)]
)
async def test_odd_figures_of_a_provider_are_bounded(store: SessionStore, usage: Usage) -> None:
    harness = scene(store, says("There.", usage=usage))
    async with harness.live() as session:
        await ask(session, "go")
    [found] = await records(harness)
    assert 0 <= found.prompt_tokens <= 2**40
    assert found.micro_dollars in (None, 2**40)
    assert found.latency == 0.0


async def test_a_quota_that_is_taken_ends_the_turn_and_says_so_until_midnight(store: SessionStore) -> None:
    now = NOW
    harness = scene(store, says("One."), says("Two."), quotas=[Quota(models="fake*", tokens=4_000)])
    harness.clock = lambda: now
    async with harness.live() as session:
        await ask(session, "go")
        reserved_elsewhere = await reserve_for_another(store, 3_500)
        await ask(session, "go on", "error")
        assert len(harness.model.requests) == 1
        reason = await reason_of_error(harness)
        assert reason.startswith(
            "Your quota of today for the models fake* is taken: 3,515 tokens of 4,000 tokens are used or"
        )
        assert reason.endswith(f"It begins anew at {NOW + timedelta(days=1):%Y-%m-%d 00:00 UTC}.")
        now = reserved_elsewhere + timedelta(days=1)
        await ask(session, "continue")
    assert [one.outcome for one in await records(harness)] == ["answered", "answered"]


async def reserve_for_another(store: SessionStore, tokens: int) -> datetime:
    share = Share(tokens=tokens)
    other = ReservedShare(sid=OTHER, number=1, user=LOCAL_OWNER, day=TODAY, model="fake", share=share)
    await store.accounts.reserve(other, [Quota()])
    return NOW


async def test_a_compaction_and_a_title_are_refused_too(store: SessionStore) -> None:
    harness = scene(store, *(says(f"Answer {number}.") for number in range(8)), quotas=[Quota(tokens=60_000)])
    async with harness.live() as session:
        for number in range(8):
            await ask(session, f"question {number}, which is rather long " + "and longer " * 50)
        await reserve_for_another(store, 59_000)
        with pytest.raises(NotAccepting, match="not compacted: Your quota of today for all models"):
            await session.submit(Compact())
        assert session.agent is not None
        with pytest.raises(ModelFailure, match="Your quota of today"):
            await session.agent.title("question")
    assert len(await records(harness)) == 8


async def test_a_conversation_counts_once_a_day(store: SessionStore) -> None:
    now = NOW
    harness = scene(store, *(says(f"Answer {number}.") for number in range(3)), quotas=[TIGHT])
    harness.clock = lambda: now
    async with harness.live() as session:
        await ask(session, "one")
        await ask(session, "two")
        now = NOW + timedelta(days=1)
        await ask(session, "three")
    for day in (NOW, now):
        assert await store.accounts.taken(LOCAL_OWNER, day.date(), [TIGHT]) != [Share()]


async def test_a_failed_call_gives_back_what_it_had_reserved(store: SessionStore) -> None:
    failing = FakeReply(text="x", fail=ModelFailure("STATUS$ERROR", "No."))
    harness = scene(store, failing, quotas=[TIGHT, Quota(tokens=5_000)])
    async with harness.live() as session:
        await ask(session, "go", "error")
    assert await store.accounts.taken(LOCAL_OWNER, TODAY, harness.quotas) == [Share(), Share()]


async def test_what_a_killed_server_had_reserved_is_free_for_the_next(store: SessionStore, gate: asyncio.Event) -> None:
    quota = Quota(tokens=2_500)
    harness = scene(store, says("I think.", hold=gate), says("There."), quotas=[quota])
    mortal = MortalStore(store, dies_at=-1, stored=True)
    async with harness.killed(mortal) as session:
        leaving = asyncio.create_task(say(session, "go"))
        await harness.model.asked(1)
        await leaving
        mortal.dead.set()
        killed = await store.accounts.taken(LOCAL_OWNER, TODAY, [quota])
    assert killed[0].tokens > 1_000
    async with harness.live() as session:
        await state(session, "awaiting_user_input", 5)
    assert await store.accounts.taken(LOCAL_OWNER, TODAY, [quota]) == [Share(tokens=15, micro_dollars=FAKE_COST)]


async def test_a_model_without_a_price_is_not_asked_where_dollars_are_counted(store: SessionStore) -> None:
    class Unpriced(FakeModel):
        def price(self, usage: Usage) -> int | None:
            return None

    harness = scene(store, quotas=[Quota(micro_dollars=10**9)])
    harness.model = Unpriced([says("never")])
    async with harness.live() as session:
        await ask(session, "go", "error")
        assert harness.model.requests == []
    assert "whose price is not known" in await reason_of_error(harness)
