"""A conversation whose model calls have cost much asks whether to go on, before the next one."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from openhands_sessions.core.commands import Answer, Command, Decide, DecideCall, RejectOverdue, SetBudget, Stop
from openhands_sessions.core.errors import BadInput, Forbidden, NotAccepting
from openhands_sessions.core.events.budget import SpendingPausedAction
from openhands_sessions.core.events.event import AgentState
from openhands_sessions.core.events.own import RuleScope
from openhands_sessions.core.history_commands import Undo
from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from tests.fakes.model import FAKE_COST, FakeModel, FakeReply
from tests.support.log_invariant import check_log
from tests.support.session_harness import SessionHarness, ask, only, runs, says, state
from tests.support.store_entries import NOW

ASKED, WAITS = "awaiting_user_confirmation", "awaiting_user_input"
WAIT = 60.0
YES, NO = Answer(confirmed=True), Answer(confirmed=False)


class Clock:
    """Stands until it is moved."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now


def scene(store: SessionStore, *replies: FakeReply, **settings: Any) -> SessionHarness:
    """A conversation that pauses behind its first model call."""
    given = {"spending_pause_at": FAKE_COST / 1e6, **settings}
    return SessionHarness(store=store, model=FakeModel(replies), settings=given)


def decide(session: AgentSession, **about: Any) -> Decide:
    """A decision about what is asked."""
    approval = session.event_stream.view.approval
    assert approval is not None
    decision = DecideCall(call=approval.batch, **{"approved": True, **about})
    return Decide(batch=approval.batch, version=approval.version, decisions=(decision,))


async def questions(harness: SessionHarness) -> Sequence[int]:
    """The thresholds at which it has asked."""
    found = only(await harness.events(), SpendingPausedAction)
    return [each.threshold // FAKE_COST for each in found if each.confirmation_state == "awaiting_confirmation"]


async def answered(session: AgentSession, answer: Command, last: str = WAITS) -> None:
    accepted = await session.submit(answer)
    await state(session, last, accepted.id)


def seen(harness: SessionHarness) -> str:
    """All that the model was ever told."""
    return str([request.messages for request in harness.model.requests])


async def test_a_yes_goes_on_to_the_doubled_threshold_and_a_no_ends_the_turn(store: SessionStore) -> None:
    harness = scene(store, *(runs(f"echo {number}") for number in range(2)), says("Well."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await answered(session, YES, ASKED)
        await answered(session, NO)
        assert len(harness.model.requests) == 2
        await ask(session, "go on", ASKED)
        await answered(session, YES)
        assert session.event_stream.view.budget.pause_at == 4 * FAKE_COST
    assert await questions(harness) == [1, 2, 2]
    check_log(await harness.events())


async def test_a_message_in_place_of_an_answer_ends_the_turn_and_the_next_one_asks_again(store: SessionStore) -> None:
    harness = scene(store, runs("echo one"), says("Well."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await ask(session, "what for?", ASKED)
        assert len(harness.model.requests) == 1
        assert session.event_stream.view.budget.pause_at == 0
        await answered(session, YES)
    assert "what for?" in seen(harness)
    assert await questions(harness) == [1, 1]
    check_log(await harness.events())


async def test_a_stop_in_place_of_an_answer_takes_the_question_back(store: SessionStore) -> None:
    harness = scene(store, runs("echo one"), says("Well."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await answered(session, Stop(), "stopped")
        assert session.event_stream.view.approval is None
        with pytest.raises(NotAccepting):
            await session.submit(YES)
        await ask(session, "go on", ASKED)
    assert (len(harness.model.requests), await questions(harness)) == (1, [1, 1])
    check_log(await harness.events())


async def test_a_pause_that_nobody_answers_in_time_is_a_no(store: SessionStore) -> None:
    harness, clock = scene(store, runs("echo one"), approval_timeout=WAIT), Clock()
    harness.clock = clock
    async with harness.live() as session:
        before = await ask(session, "go", ASKED)
        approval = session.event_stream.view.approval
        assert approval is not None
        assert approval.deadline == NOW + timedelta(seconds=WAIT)
        clock.now += timedelta(seconds=WAIT)
        await session.submit(RejectOverdue())
        await state(session, WAITS, before)
        view = session.event_stream.view
        assert (view.approval, view.budget.pause_at, view.owed) == (None, 0, False)
    assert len(harness.model.requests) == 1
    check_log(await harness.events())


@pytest.mark.parametrize(
    "said",
    [{"arguments": "{}"}, {"always": RuleScope.CONVERSATION}, {"feedback": "dear"}],
    ids=lambda said: next(iter(said)),
)
async def test_an_answer_to_a_pause_is_yes_or_no_and_nothing_else(store: SessionStore, said: dict[str, Any]) -> None:
    harness, [name] = scene(store, runs("echo one"), says("Well.")), said
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        yes = name != "feedback"
        for answer, field in (
            (Answer(confirmed=yes, **said), name),
            (decide(session, approved=yes, **said), f"decisions.0.{name}"),
        ):
            with pytest.raises(BadInput, match="about spending, answer it with yes or no") as refused:
                await session.submit(answer)
            assert refused.value.field == field
        await answered(session, decide(session))
    check_log(await harness.events())


async def test_undo_keeps_the_threshold_that_a_yes_has_raised(store: SessionStore) -> None:
    harness = scene(store, runs("echo one"), says("Well."), says("Again."), spending_pause_at=3 * FAKE_COST / 2e6)
    async with harness.live() as session:
        await ask(session, "go", WAITS)
        await ask(session, "go on", ASKED)
        await answered(session, YES)
        raised = session.event_stream.view.budget.pause_at
        await session.submit(Undo())
        view = session.event_stream.view
        assert (view.budget.pause_at, view.spent.cost) == (raised, 3 * FAKE_COST)
        await ask(session, "go on", ASKED)
    assert raised == 3 * FAKE_COST
    assert await questions(harness) == [1, 3]
    check_log(await harness.events())


@pytest.mark.parametrize("answer", [YES, NO, Stop()], ids=["yes", "no", "stop"])
async def test_the_model_is_told_nothing_of_a_pause(store: SessionStore, answer: Command) -> None:
    harness = scene(store, runs("echo one"), says("Well."), says("On."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await answered(session, answer, "stopped" if answer == Stop() else WAITS)
        if answer != YES:
            await ask(session, "go on", ASKED)
            await answered(session, YES)
    told = seen(harness)
    assert "echo one" in told
    assert [words for words in ("has cost", "asks again", "was rejected", "awaits the user") if words in told] == []


async def test_a_pause_survives_a_restart_and_is_asked_once(store: SessionStore) -> None:
    harness = scene(store, runs("echo one"), says("Well."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
    for _ in range(2):
        async with harness.live() as session:
            view = session.event_stream.view
            assert view.approval is not None
            assert (view.approval.about, view.agent_state) == ("spending", AgentState.AWAITING_USER_CONFIRMATION)
    async with harness.live() as session:
        await answered(session, YES)
    assert await questions(harness) == [1]
    check_log(await harness.events())


async def test_a_yes_to_spending_is_the_owners_and_a_no_may_be_a_writers(store: SessionStore) -> None:
    harness = scene(store, runs("echo one"), says("Well."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        for yes in (YES, decide(session)):
            with pytest.raises(Forbidden, match="only the owner"):
                await session.submit(yes, None, None, Permission.WRITE)
        accepted = await session.submit(NO, None, None, Permission.WRITE)
        await state(session, WAITS, accepted.id)
        await ask(session, "go on", ASKED)
        await answered(session, YES)
    check_log(await harness.events())


async def test_a_budget_for_calls_answers_no_pause(store: SessionStore) -> None:
    harness = scene(store, runs("echo one"), says("Well."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await session.submit(SetBudget(10**9))
        assert session.event_stream.view.approval is not None
        await answered(session, YES)
    check_log(await harness.events())
