"""All calls of a reply that need an answer are asked about together, and decided one by one or all at once."""

from collections.abc import Sequence
from typing import Any

import pytest

from openhands_sessions.core.approval import Approval
from openhands_sessions.core.commands import Answer, Command, Decide, DecideCall, SendMessage, Stop
from openhands_sessions.core.errors import BadInput, NotAccepting, SessionsError, StaleDecision
from openhands_sessions.core.events.observations import UserRejectedObservation
from openhands_sessions.core.events.own import AlwaysAllowedAction, ApprovalDecidedAction, RuleScope
from openhands_sessions.core.history_commands import Undo
from openhands_sessions.core.ids import EventId, OwnerId
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.idempotency import IdempotencyKey
from tests.fakes.model import FakeCall, FakeModel, FakeReply
from tests.support.log_invariant import check_log
from tests.support.session_harness import SessionHarness, ask, finishes, only, outline, runs, says, state

ASKED = "awaiting_user_confirmation"
WAITS = "awaiting_user_input"
THREE = ("echo 1", "echo 2", "echo 3")


def scene(store: SessionStore, *replies: FakeReply, **settings: Any) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies), settings={"confirmation_mode": True, **settings})


def batch(session: AgentSession) -> Approval:
    found = session.event_stream.view.approval
    assert found is not None
    return found


def deciding(session: AgentSession, *approved: bool | None, **more: Any) -> Decide:
    """Decisions about the calls of the batch in order; None leaves one open. `more` is of the first decision."""
    calls = batch(session).calls
    decisions = [
        DecideCall(call=asked.event, approved=choice, **(more if place == 0 else {}))
        for place, (asked, choice) in enumerate(zip(calls, approved, strict=False))
        if choice is not None
    ]
    return Decide(batch=batch(session).batch, version=batch(session).version, decisions=tuple(decisions))


async def ran(harness: SessionHarness) -> Sequence[str]:
    return [line for line in await harness.told() if line.startswith("ran")]


def results(harness: SessionHarness, request: int = 1) -> list[Any]:
    return [message["content"] for message in harness.model.requests[request].messages if message["role"] == "tool"]


async def test_calls_before_the_first_question_run_and_the_rest_waits_in_its_order(store: SessionStore) -> None:
    calls = [
        FakeCall("think", {"thought": "hm"}),
        FakeCall("execute_bash", {"command": "echo 1"}),
        FakeCall("think", {"thought": "and"}),
        FakeCall("execute_bash", {"command": "echo 2"}),
    ]
    harness = scene(store, FakeReply(calls=calls), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        told = await harness.told()
        assert told[-6:] == [
            "think",
            "think",
            f"state {ASKED}",
            "run echo 1 (awaiting_confirmation)",
            "approval_requested",
            "turn ended: approval",
        ]
        accepted = await session.submit(deciding(session, True, True))
        await state(session, WAITS, accepted.id)
    told = outline((await harness.events())[accepted.id :])
    kept = [line for line in told if line.startswith(("approval", "think", "run", "ran"))]
    assert kept == [
        "approval_decided",
        "run echo 1 (confirmed)",
        "ran echo 1: 1\n [0]",
        "think",
        "think",
        "run echo 2 (confirmed)",
        "ran echo 2: 2\n [0]",
    ]
    check_log(await harness.events())


async def test_what_is_rejected_is_told_to_the_model_and_what_is_approved_runs(store: SessionStore) -> None:
    harness = scene(store, runs(*THREE), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        accepted = await session.submit(deciding(session, False, True, False, feedback="Not this one."))
        await state(session, WAITS, accepted.id)
    assert await ran(harness) == ["ran echo 2: 2\n [0]"]
    first, second, third = results(harness)
    assert str(first).endswith("The user says: Not this one.")
    assert "exit code: 0" in str(second)
    assert "rejected by the user" in str(third)
    check_log(await harness.events())


async def test_a_rejection_of_all_ends_the_turn(store: SessionStore) -> None:
    harness = scene(store, runs(*THREE), says("I see."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        whole = batch(session)
        accepted = await session.submit(Decide(batch=whole.batch, version=whole.version, rest=False))
        await state(session, WAITS, accepted.id)
        assert len(harness.model.requests) == 1
        await ask(session, "why?")
    assert await ran(harness) == []
    assert len(only(await harness.events(), UserRejectedObservation)) == 3
    check_log(await harness.events())


async def test_a_part_of_the_decisions_leaves_the_rest_open_and_raises_the_version(store: SessionStore) -> None:
    harness = scene(store, runs(*THREE), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        before = batch(session)
        await session.submit(deciding(session, None, True))
        now = batch(session)
        assert (now.batch, now.version, len(now.open)) == (before.batch, before.version + 1, 2)
        assert await ran(harness) == []
        with pytest.raises(StaleDecision, match="version 2"):
            await session.submit(Decide(batch=before.batch, version=before.version, rest=True))
        accepted = await session.submit(Decide(batch=now.batch, version=now.version, rest=True))
        await state(session, WAITS, accepted.id)
    assert await ran(harness) == [f"ran echo {number}: {number}\n [0]" for number in (1, 2, 3)]
    check_log(await harness.events())


async def test_stale_unknown_and_second_decisions_change_nothing_and_are_refused(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1", "echo 2"), runs("echo 3", "echo 4"), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        old = deciding(session, True, True)
        first = batch(session)
        head = session.event_stream.view.head
        call = DecideCall(call=first.batch, approved=True)
        wrong: list[tuple[Decide, type[SessionsError], str]] = [
            (Decide(batch=EventId(first.batch + 1), version=1, rest=True), StaleDecision, "awaits no decision"),
            (Decide(batch=first.batch, version=2, rest=True), StaleDecision, "version 1"),
            (
                Decide(batch=first.batch, version=1, decisions=(DecideCall(call=EventId(0), approved=True),)),
                BadInput,
                "decisions.0.event_id",
            ),
            (Decide(batch=first.batch, version=1, decisions=(call, call)), BadInput, "decisions.1.event_id"),
            (Decide(batch=first.batch, version=1), BadInput, "decisions"),
        ]
        for command, kind, words in wrong:
            with pytest.raises(kind, match=words):
                await session.submit(command)
        assert session.event_stream.view.head == head
        accepted = await session.submit(old)
        await state(session, ASKED, accepted.id)
        with pytest.raises(StaleDecision):  # the same decision again, about the batch that is over
            await session.submit(old)
        assert len(batch(session).open) == 2
        await session.submit(deciding(session, True))
        again = Decide(
            batch=batch(session).batch,
            version=batch(session).version,
            decisions=(DecideCall(call=batch(session).batch, approved=False),),
        )
        with pytest.raises(StaleDecision, match="decided already"):
            await session.submit(again)


async def test_edited_arguments_run_and_wrong_ones_change_nothing(store: SessionStore) -> None:
    deny = {"pattern": "rm *", "decision": "deny"}
    harness = scene(store, runs("echo 1", "echo 2"), says("Done."), confirmation_rules=[deny])
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        head = session.event_stream.view.head
        for wrong, words in (('{"command": 1}', "command"), ("{}", "command"), ('{"command": "rm a"}', "denied")):
            with pytest.raises(BadInput, match=words) as refused:
                await session.submit(deciding(session, True, True, arguments=wrong))
            assert refused.value.field == "decisions.0.arguments"
        assert session.event_stream.view.head == head
        accepted = await session.submit(deciding(session, True, True, arguments='{"command": "echo 3"}'))
        await state(session, WAITS, accepted.id)
    assert await ran(harness) == ["ran echo 3: 3\n [0]", "ran echo 2: 2\n [0]"]
    assert str(results(harness)[0]).startswith("[The user changed the arguments of this call before it ran")


async def test_what_is_always_allowed_is_not_asked_about_again_also_after_a_restart(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1", "echo 2"), says("One."), runs("echo 1"), says("Two."), runs("echo 2"))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await ask_and(session, deciding(session, True, True, always=RuleScope.CONVERSATION), WAITS)
    async with harness.live() as session:
        await ask(session, "again")
        await ask(session, "and the other", ASKED)
    [remembered] = only(await harness.events(), AlwaysAllowedAction)
    assert (remembered.tool, remembered.pattern, remembered.scope) == ("execute_bash", "echo 1", "conversation")


async def test_a_single_answer_can_be_remembered_too(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1"), runs("echo 1"), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await ask_and(session, Answer(confirmed=True, always=RuleScope.CONVERSATION), WAITS)
    assert len(await ran(harness)) == 2


async def test_the_decider_is_recorded(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1", "echo 2"), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await session.submit(deciding(session, True), author=OwnerId("ada"))
        accepted = await session.submit(deciding(session, None, False), author=OwnerId("bob"))
        await state(session, WAITS, accepted.id)
    decided = only(await harness.events(), ApprovalDecidedAction)
    assert [event.author for event in decided] == ["ada", "bob"]


async def test_a_message_abandons_the_batch_with_results(store: SessionStore) -> None:
    harness = scene(store, runs(*THREE), says("Sorry."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await session.submit(deciding(session, True))
        await ask(session, "not that way")
        assert session.event_stream.view.approval is None
    assert await ran(harness) == []
    assert len(results(harness)) == 3
    check_log(await harness.events())


@pytest.mark.parametrize("decided", [False, True])
@pytest.mark.parametrize(("leave", "last"), [(Stop(), "stopped"), (Undo(), WAITS)])
async def test_a_stop_and_an_undo_withdraw_the_batch_with_results(
    store: SessionStore, leave: Command, last: str, decided: bool
) -> None:
    harness = scene(store, says("Hi."), runs(*THREE))
    async with harness.live() as session:
        await ask(session, "hello")
        await ask(session, "go", ASKED)
        if decided:
            await session.submit(deciding(session, True))
        await ask_and(session, leave, last)
        with pytest.raises(NotAccepting):
            await session.submit(Answer(confirmed=True))
    check_log(await harness.events())
    assert await ran(harness) == []


async def test_calls_that_the_end_of_the_turn_leaves_are_not_run(store: SessionStore) -> None:
    calls = [
        FakeCall("execute_bash", {"command": "echo 1"}),
        FakeCall("finish", {"message": "done"}),
        FakeCall("execute_bash", {"command": "echo 2"}),
    ]
    harness = scene(store, FakeReply(calls=calls), finishes())
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await ask_and(session, deciding(session, True, True), "finished")
    assert await ran(harness) == ["ran echo 1: 1\n [0]"]
    check_log(await harness.events())


async def ask_and(session: AgentSession, command: Any, last: str) -> None:
    accepted = await session.submit(command)
    await state(session, last, accepted.id)


@pytest.mark.parametrize("calls", [2, 40])
async def test_a_message_for_an_answer_has_the_same_turn_when_it_is_sent_again(store: SessionStore, calls: int) -> None:
    harness = scene(store, runs(*(f"echo {number}" for number in range(calls))), says("Sorry."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        said = SendMessage(content="not that way")
        first = await session.submit(said, IdempotencyKey.of("once", said))
        await state(session, WAITS, first.id + calls)
        again = await session.submit(said, IdempotencyKey.of("once", said))
        assert again == first
        assert first.turn is not None
    check_log(await harness.events())
