"""A long conversation is condensed in what the model is shown; the log keeps everything."""

import asyncio
from typing import Any

from openhands_sessions.adapters.agents.model_agent import ModelAgents
from openhands_sessions.adapters.agents.shell import AgentChoice
from openhands_sessions.core.events.actions import CondensationAction, RunAction
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.events.own import TurnEndedObservation
from openhands_sessions.core.trajectory import TrajectoryStep
from openhands_sessions.ports.model import ModelRequest
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.setup import InitialInput
from openhands_sessions.session.turn_history import TurnHistory
from tests.fakes.model import FakeModel, FakeReply, OneModel
from tests.fakes.summing_model import SummingModel
from tests.support.session_harness import LONG, SessionHarness, ask, only, runs, say, says, state

SIZE = 20


def scene(store: SessionStore, *replies: FakeReply) -> tuple[SessionHarness, SummingModel]:
    model = SummingModel(*replies)
    agents = AgentChoice({"default": ModelAgents(OneModel(model))})
    return SessionHarness(store=store, model=FakeModel([]), agents=agents, settings={"condenser_max_size": SIZE}), model


async def test_a_long_turn_is_condensed_and_goes_on(store: SessionStore) -> None:
    harness, model = scene(store, *[runs(f"echo {n}") for n in range(30)], says("Done."))
    async with harness.live() as session:
        await ask(session, "the task")
    made = only(await harness.events(), CondensationAction)
    assert len(made) >= 3
    for request in model.taken:
        messages = list(request.messages)
        assert len(messages) <= SIZE + 4
        assert next(message["content"] for message in messages if message["role"] == "user") == "the task"
    assert model.sums[1].messages[0] == {"role": "user", "content": "Summary so far:\nSummary 1."}
    last = model.taken[-1].messages
    assert f"Summary of what happened before:\nSummary {len(made)}." in [message["content"] for message in last]


async def test_ranges_grow_and_never_part_a_pair(store: SessionStore) -> None:
    harness, _ = scene(store, *[runs(f"echo {n}", f"echo {n}'") for n in range(15)], says("Done."))
    async with harness.live() as session:
        await ask(session, "the task")
    made = only(await harness.events(), CondensationAction)
    starts = {one.forgotten_events_start_id for one in made}
    ends = [one.forgotten_events_end_id or 0 for one in made]
    assert len(starts) == 1
    assert ends == sorted(set(ends))


async def test_what_a_replay_has_brought_is_condensed_in_parts(store: SessionStore) -> None:
    steps = tuple(TrajectoryStep(action=RunAction(command=f"echo {n}", source=Source.AGENT)) for n in range(60))

    async def recorded() -> tuple[TrajectoryStep, ...]:
        return steps

    harness, model = scene(store, says("Done."))
    harness.opening = InitialInput(message="the task", replay=recorded)
    async with harness.live() as session:
        await state(session, "awaiting_user_input")
    assert len(model.sums) >= 5
    assert all(len(sum.messages) <= SIZE + 4 for sum in model.sums)
    assert [sum.messages[0]["content"] for sum in model.sums[1:3]] == [
        "Summary so far:\nSummary 1.",
        "Summary so far:\nSummary 2.",
    ]
    [request] = model.taken
    assert len(request.messages) <= SIZE + 4


async def test_the_log_is_unchanged_by_it(store: SessionStore) -> None:
    harness, _ = scene(store, *[runs(f"echo {n}") for n in range(30)], says("Done."))
    async with harness.live() as session:
        await ask(session, "the task")
    told = await harness.told()
    for number in range(30):
        assert f"ran echo {number}: {number}\n [0]" in told


async def test_the_next_turn_and_the_next_server_are_shown_the_same(store: SessionStore) -> None:
    harness, model = scene(store, *[runs(f"echo {n}") for n in range(30)], says("Done."), says("Yes."), says("Again."))
    async with harness.live() as session:
        await ask(session, "the task")
        await ask(session, "still there?")
        history = TurnHistory(session.event_stream)
        await history.load()
        before = history.messages(None)
    async with harness.live() as session:
        history = TurnHistory(session.event_stream)
        await history.load()
        assert history.messages(None) == before
        await ask(session, "and now?")
    assert model.taken[-1].messages[-1]["content"] == "and now?"


async def test_a_history_is_read_once_and_kept_up_by_what_happens(store: SessionStore) -> None:
    """While a turn lasts, what the model is shown is what a fresh reading would show."""
    harness, model = scene(store, *[runs(f"echo {n}") for n in range(25)], says("Done."))
    seen: list[Any] = []
    async with harness.live() as session:
        fresh = TurnHistory(session.event_stream)

        async def compare(request: ModelRequest) -> None:
            await fresh.load()
            seen.append((list(request.messages), list(fresh.messages(None))))
            fresh.forget()

        model.look = compare
        await ask(session, "the task")
    assert len(seen) == 26
    assert all(shown == read for shown, read in seen)


async def test_what_the_summary_costs_is_counted(store: SessionStore) -> None:
    harness, model = scene(store, *[runs(f"echo {n}") for n in range(30)], says("Done."))
    async with harness.live() as session:
        await ask(session, "the task")
        assert session.event_stream.view.spent.cost == 1_000 * len(model.requests)
    [ended] = only(await harness.events(), TurnEndedObservation)
    assert ended.iterations == len(model.requests)


async def test_what_the_user_says_while_it_is_summed_up_is_seen(store: SessionStore, gate: asyncio.Event) -> None:
    harness, model = scene(store, *[runs(f"echo {n}") for n in range(8)], says("Both."))
    model.hold = gate
    async with harness.live() as session:
        first = await say(session, "one")
        async with asyncio.timeout(LONG):
            await model.summing.wait()
        await say(session, "two")
        gate.set()
        await state(session, "awaiting_user_input", first.id)
    shown = [message["content"] for message in model.taken[-1].messages if message["role"] == "user"]
    assert "one" in shown
    assert "two" in shown
    assert (await harness.told()).count("turn ended: waiting") == 1
