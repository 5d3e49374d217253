"""A compaction makes what the model is shown smaller, whatever the summary is; a turn does not compact for ever."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.adapters.agents.model_agent import ModelAgents
from openhands_sessions.adapters.agents.shell import AgentChoice
from openhands_sessions.adapters.window_condenser import beginning, cut
from openhands_sessions.core.dialogue import dialogue
from openhands_sessions.core.errors import Refusal
from openhands_sessions.core.events.actions import CondensationAction
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.history_form import LEFT_OUT, shrinking_summary, size_of
from openhands_sessions.ports.model import LostCall, ModelReply, ModelRequest, Retry
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.history_fitter import NO_WAY_OUT
from tests.fakes.model import FakeModel, FakeReply, OneModel
from tests.fakes.summing_model import SummingModel, is_sum
from tests.support.log_builder import STEPS, built_log
from tests.support.session_harness import SessionHarness, ask, only, runs, say, says, state
from tests.support.valid_history import valid

SIZE = 20
LONG_STORIES = st.lists(
    st.sampled_from([*STEPS, "one call", "three calls", "observe", "take up"]), min_size=20, max_size=60
)
SUMMARIES = st.integers(0, 20_000).map(lambda length: "word " * (length // 5))


class WordyModel(SummingModel):
    """Writes summaries of so many characters."""

    def __init__(self, *replies: FakeReply, length: int) -> None:
        super().__init__(*replies)
        self.length = length

    async def complete(
        self,
        request: ModelRequest,
        on_text: Callable[[str], None],
        on_retry: Callable[[Retry], None],
        on_thought: Callable[[str], None] = lambda text: None,
        on_lost: Callable[[LostCall], None] = lambda call: None,
    ) -> ModelReply:
        reply = await super().complete(request, on_text, on_retry, on_thought, on_lost)
        return replace(reply, text="x" * self.length) if is_sum(request) else reply


def scene(store: SessionStore, model: SummingModel, **more: int) -> SessionHarness:
    agents = AgentChoice({"default": ModelAgents(OneModel(model))})
    return SessionHarness(
        store=store, model=FakeModel([]), agents=agents, settings={"condenser_max_size": SIZE, **more}
    )


@given(LONG_STORIES, st.integers(4, 60), SUMMARIES)
@settings(max_examples=150, deadline=None)
def test_whatever_the_summary_is_less_is_shown_than_before(steps: list[str], wanted: int, summary: str) -> None:
    events = built_log(["message", *steps]).events
    first, last = cut(events, max(wanted, beginning(events)))
    forgotten, kept = events[first:last], [*events[:first], *events[last:]]
    if not dialogue(forgotten):
        return
    before = size_of(dialogue(events))

    def size_with(text: str) -> int:
        return size_of(dialogue(kept, text, forgotten[-1].id))

    chosen = shrinking_summary(summary, before, size_with)
    assert size_with(chosen) < before
    assert chosen == summary or size_with(summary) >= before
    assert valid([dict(message) for message in dialogue(kept, chosen, forgotten[-1].id)])


def test_as_much_of_a_long_summary_is_kept_as_is_smaller() -> None:
    chosen = shrinking_summary("a" * 5_000 + "b" * 5_000, 2_000, len)
    assert 1_800 < len(chosen) < 2_000
    assert chosen.startswith("aaa")
    assert chosen.endswith("bbb")
    assert shrinking_summary("c" * 500, 100, len) == LEFT_OUT
    assert shrinking_summary("c" * 500, 10, len) == ""


async def test_a_summary_that_is_longer_than_what_it_stands_for_is_shortened(store: SessionStore) -> None:
    model = WordyModel(*[runs(f"echo {n}") for n in range(30)], says("Done."), length=100_000)
    harness = scene(store, model)
    async with harness.live() as session:
        await ask(session, "the task")
    assert len(only(await harness.events(), CondensationAction)) >= 3
    sizes = [size_of(list(request.messages)) for request in model.requests]
    places = [place for place, request in enumerate(model.requests) if is_sum(request)]
    step = max(size_of(list(model.taken[1].messages)) - size_of(list(model.taken[0].messages)), 1)
    for place in places:
        assert sizes[place + 1] < sizes[place - 1] + 2 * step, "a step later, it is less than with that step"
    assert max(len(str(request.messages)) for request in model.taken) < 100_000


async def test_a_turn_whose_model_reads_too_little_is_bounded_with_all_its_compactions(store: SessionStore) -> None:
    model = SummingModel(*[runs(f"echo {'x' * 8_000}{n}") for n in range(30)], window=2_500)
    harness = scene(store, model, condenser_max_size=240, max_iterations=20)
    async with harness.live() as session:
        await say(session, "the task")
        await state(session, "error")
    events = await harness.events()
    assert reasons_of(events)[0].startswith("Agent reached maximum iterations")
    assert len(model.taken) + len(only(events, CondensationAction)) in (20, 21)
    assert len(only(events, CondensationAction)) <= len(model.taken)


async def test_a_history_that_nothing_makes_short_enough_ends_the_turn_and_says_what_to_do(store: SessionStore) -> None:
    model = SummingModel(refuses=lambda request: Refusal.TOO_LONG)
    harness = scene(store, model)
    async with harness.live() as session:
        await say(session, "the task " * 10_000)
        await state(session, "error")
    [reason] = reasons_of(await harness.events())
    assert reason.endswith(NO_WAY_OUT)
    assert len(model.requests) < 40


def reasons_of(events: list[Event]) -> list[str]:
    return [one.reason for one in only(events, AgentStateChangedObservation) if one.reason]
