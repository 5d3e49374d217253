"""The server dies at every append, and the next one goes on to the same end: nothing is lost, nothing is done twice."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from openhands_sessions.adapters.agents.model_agent import ModelAgents
from openhands_sessions.adapters.agents.shell import AgentChoice
from openhands_sessions.core.commands import Answer, Command, Pause, Resume, SendMessage, Stop
from openhands_sessions.core.dialogue import UNKNOWN, dialogue
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Action, Event, Observation, Source
from openhands_sessions.core.events.observations import UNKNOWN_OUTCOME_ID, AgentStateChangedObservation
from openhands_sessions.core.events.own import ToolCallsAction
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.runtime import Runtimes, RuntimeSpec
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.idempotency import IdempotencyKey
from tests.fakes.memory_store import open_memory
from tests.fakes.model import FakeCall, FakeModel, FakeReply, OneModel
from tests.fakes.planner import PlanModel
from tests.fakes.runtime import FakeRuntimes
from tests.fakes.store import MortalStore
from tests.support.session_harness import LONG, SessionHarness, finishes, only, runs, says, turn_ended, until
from tests.support.store_entries import TALK, row
from tests.support.valid_history import valid


@dataclass(frozen=True)
class Act:
    """What the user does, and the state of the agent that is then waited for; `turn`: once the turn has ended. `again`:
    and whenever the agent asks instead, the same is done again."""

    command: Command
    until: str = ""
    turn: bool = False
    again: bool = False


@dataclass(frozen=True)
class Story:
    plan: list[FakeReply]
    acts: list[Act]
    ran: list[str]
    """The commands that are to have been run, each once."""
    settings: dict[str, Any]
    spent: int = 0
    """Micro-dollars of the auto-approval budget that are spent in the end; none is reserved then."""


def tells(text: str, until: str = "awaiting_user_input") -> Act:
    return Act(SendMessage(content=text), until)


def notes(*names: str) -> FakeReply:
    """Commands that leave a line behind, so that it shows when one is run twice."""
    return runs(*(f"echo {name} >> ran" for name in names), text="I note.")


ASKED = "awaiting_user_confirmation"
YES, NO = Answer(confirmed=True), Answer(confirmed=False)
BAD = FakeReply(calls=[FakeCall("dance", "{"), FakeCall("think", {"thought": "hm"})])
PRICES = [
    {"tool": "execute_bash", "pattern": f"echo {name}*", "dollars": price}
    for name, price in (("dear", 3), ("cheap", 1))
]
STORIES = {
    "a turn": Story([notes("a"), says("Done.")], [tells("go")], ["a"], {}),
    "several calls": Story([notes("a", "b", "c"), BAD, finishes()], [tells("go", "finished")], ["a", "b", "c"], {}),
    "two turns": Story(
        [notes("a"), says("One."), notes("b"), says("Two.")], [tells("one"), tells("two")], ["a", "b"], {}
    ),
    "a yes": Story(
        [notes("a"), says("Done.")],
        [tells("go", ASKED), Act(YES, "awaiting_user_input")],
        ["a"],
        {"confirmation_mode": True},
    ),
    "a yes in the middle of a plan": Story(
        [notes("a", "b"), says("Done.")],
        [tells("go", ASKED), Act(YES, ASKED), Act(YES, "awaiting_user_input")],
        ["a", "b"],
        {"confirmation_mode": True},
    ),
    "a yes and a no": Story(
        [notes("a", "b", "c"), says("Done.")],
        [tells("go", ASKED), Act(YES, ASKED), Act(NO, ASKED), Act(YES, "awaiting_user_input")],
        ["a", "c"],
        {"confirmation_mode": True},
    ),
    "a yes and a message": Story(
        [notes("a", "b"), says("Why?")],
        [tells("go", ASKED), Act(YES, ASKED), tells("not so")],
        [],
        {"confirmation_mode": True},
    ),
    "a yes and a stop": Story(
        [notes("a", "b"), says("On.")],
        [tells("go", ASKED), Act(YES, ASKED), Act(Stop(), "stopped"), tells("go on")],
        [],
        {"confirmation_mode": True},
    ),
    "a no": Story(
        [notes("a"), says("Why?")],
        [tells("go", ASKED), Act(NO, "awaiting_user_input"), tells("because")],
        [],
        {"confirmation_mode": True},
    ),
    "a message for an answer": Story(
        [notes("a"), says("Why?")], [tells("go", ASKED), tells("not so")], [], {"confirmation_mode": True}
    ),
    "a stop and a message": Story(
        [notes("a"), says("On.")],
        [tells("go", ASKED), Act(Stop(), "stopped"), tells("go on")],
        [],
        {"confirmation_mode": True},
    ),
    "a queue": Story(
        [notes("a"), says("One."), notes("b"), says("Two."), says("Three.")],
        [
            Act(SendMessage(content="one")),
            Act(SendMessage(content="two", mode="queue")),
            Act(SendMessage(content="three", mode="queue"), "awaiting_user_input", turn=True),
        ],
        ["a", "b"],
        {},
    ),
    "a budget": Story(
        [notes("dear", "cheap"), notes("cheap"), notes("dear"), says("Done.")],
        [tells("go", ASKED), Act(YES, "awaiting_user_input")],
        ["dear", "cheap", "cheap", "dear"],
        {"confirmation_mode": True, "call_prices": PRICES, "auto_approval_budget": 6},
        spent=5_000_000,
    ),
    "a pause in spending and a yes": Story(
        [notes("a"), says("Done.")],
        [tells("go", ASKED), Act(YES, "awaiting_user_input", again=True)],
        ["a"],
        {"spending_pause_at": 0.001},
    ),
    "a pause in spending, a no, and a message for an answer": Story(
        [notes("a"), says("Done.")],
        [
            tells("go", ASKED),
            Act(NO, "awaiting_user_input"),
            tells("go on", ASKED),
            tells("why?", ASKED),
            Act(YES, "awaiting_user_input", again=True),
        ],
        ["a"],
        {"spending_pause_at": 0.001},
    ),
    "a pause and on": Story(
        [says("One."), notes("a"), says("Two.")],
        [tells("go"), Act(Pause(), "paused"), Act(Resume(), "awaiting_user_input")],
        ["a"],
        {},
    ),
}


class Player:
    """Goes through the acts of a story, on as many servers as it takes."""

    def __init__(self, story: Story) -> None:
        self.place = 0
        self._acts = story.acts

    async def act(self, session: AgentSession) -> None:
        while self.place < len(self._acts):
            act = self._acts[self.place]
            accepted = await session.submit(act.command, IdempotencyKey(f"key {self.place}", "digest"))
            if act.turn:
                await turn_ended(session, accepted.turn)
            if act.until:
                await self._until(session, act, accepted.id)
            self.place += 1

    async def _until(self, session: AgentSession, act: Act, after: EventId) -> None:
        awaited = (act.until, ASKED) if act.again else (act.until,)
        while (came := await one_state(session, awaited, after)).agent_state != act.until:
            key = IdempotencyKey(f"key {self.place} at {came.id}", "digest")
            after = (await session.submit(act.command, key)).id


async def one_state(session: AgentSession, names: Sequence[str], after: EventId) -> AgentStateChangedObservation:
    """Wait for any of these states of the agent."""

    def comes(event: Event) -> bool:
        return isinstance(event, AgentStateChangedObservation) and event.agent_state in names

    came = await until(session, comes, after)
    assert isinstance(came, AgentStateChangedObservation)  # or it would not be given
    return came


def scene(store: SessionStore, story: Story) -> SessionHarness:
    model = PlanModel(story.plan)
    harness = SessionHarness(store=store, model=FakeModel([]), runtimes=FakeRuntimes(), settings=story.settings)
    harness.agents = AgentChoice({"default": ModelAgents(OneModel(model))})
    return harness


async def lives_until(harness: SessionHarness, player: Player, store: MortalStore) -> bool:
    """One server's life. False where it did not die."""
    session = harness.new_session(store)
    life = asyncio.create_task(session.run())
    acting = asyncio.create_task(player.act(session))
    dying = asyncio.create_task(store.dead.wait())
    try:
        async with asyncio.timeout(LONG):
            await asyncio.wait({acting, dying}, return_when=asyncio.FIRST_COMPLETED)
        for _ in range(3):
            await asyncio.sleep(0)
    finally:
        for task in (acting, dying, life):
            task.cancel()
        store.bury()
        await asyncio.wait({acting, dying, life})
    return store.dead.is_set()


async def ends_well(harness: SessionHarness, player: Player, story: Story) -> None:
    async with harness.live() as session:
        await player.act(session)
        budget = session.event_stream.view.budget
        assert (budget.spent, budget.held) == (story.spent, 0)
    events = await harness.events()
    assert [event.id for event in events] == list(range(len(events)))
    said = [event.content for event in events if isinstance(event, MessageAction) and event.source is Source.USER]
    assert said == [act.command.content for act in story.acts if isinstance(act.command, SendMessage)]
    answered = Counter(event.cause for event in events if isinstance(event, Observation) and event.cause is not None)
    assert set(answered.values()) <= {1}
    messages: Any = dialogue(events)
    assert valid(messages)
    assert UNKNOWN not in [message["content"] for message in messages]
    assert UNKNOWN_OUTCOME_ID not in [getattr(event, "error_id", "") for event in events]
    tell_what_was_used(events)
    assert await left_behind(harness.runtimes) == story.ran
    assert (await harness.told())[-1] == f"state {story.acts[-1].until}"


def tell_what_was_used(events: list[Event]) -> None:
    """Each action of a reply with several calls says it, on whichever server it was taken up."""
    for plan in only(events, ToolCallsAction):
        taken_up = [event for event in only(events, Action) if event.cause is None and answers(plan, event)]
        assert [event.llm_metrics for event in taken_up] == [plan.llm_metrics] * len(taken_up)
        totals = [event.tool_call_metadata.total_calls_in_response for event in taken_up if event.tool_call_metadata]
        assert totals == [len(plan.calls)] * len(taken_up)
        said = [getattr(event, "thought", "").partition("hm")[0] for event in taken_up]
        assert said == [plan.thought, *[""] * (len(taken_up) - 1)][: len(taken_up)]


def answers(plan: ToolCallsAction, action: Action) -> bool:
    call = action.tool_call_metadata
    return call is not None and call.model_response["id"] == plan.response_id


async def left_behind(runtimes: Runtimes) -> list[str]:
    async with runtimes.open(RuntimeSpec(sid=TALK, term=99)) as runtime:
        if "ran" not in await runtime.files.list():
            return []
        return (await runtime.files.read("ran")).decode().split()


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "not stored"])
@pytest.mark.parametrize("name", STORIES)
@pytest.mark.slow
async def test_a_server_that_dies_at_any_append_is_made_good_by_the_next(name: str, stored: bool) -> None:
    at, died = 0, True
    while died:
        async with open_memory() as store:
            await store.conversations.create(row(TALK))
            story = STORIES[name]
            harness, player = scene(store, story), Player(story)
            died = await lives_until(harness, player, MortalStore(store, dies_at=at, stored=stored))
            await ends_well(harness, player, story)
        at += 1
    assert at > 5


@pytest.mark.parametrize("name", ["several calls", "a yes in the middle of a plan", "a message for an answer"])
@pytest.mark.slow
async def test_a_server_may_die_again_while_it_makes_good(name: str) -> None:
    at, died = 0, True
    while died:
        again, died_again = 0, True
        while died_again:
            async with open_memory() as store:
                await store.conversations.create(row(TALK))
                story = STORIES[name]
                harness, player = scene(store, story), Player(story)
                died = await lives_until(harness, player, MortalStore(store, dies_at=at, stored=True))
                later = MortalStore(store, dies_at=again, stored=again % 2 == 0)
                died_again = await lives_until(harness, player, later)
                await ends_well(harness, player, story)
            again += 1
        at += 1
