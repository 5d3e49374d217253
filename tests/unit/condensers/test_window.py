"""Older events are forgotten between whole tool pairs, and a summary stands for them."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.adapters.agents.model_agent import ModelAgent
from openhands_sessions.adapters.agents.shell import ShellAgent
from openhands_sessions.adapters.window_condenser import WindowCondenser, beginning, cut
from openhands_sessions.core.dialogue import dialogue
from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.core.events.actions import CondensationAction, MessageAction, SystemAction
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.history_form import LEFT_OUT
from tests.fakes.ledger import NotingLedger
from tests.fakes.model import FakeModel, FakeReply
from tests.support.log_builder import STEPS, STORIES, LogBuilder, built_log
from tests.support.valid_history import valid

LONG_STORIES = st.lists(
    st.sampled_from([*STEPS, "one call", "three calls", "observe", "take up"]), min_size=20, max_size=60
)
WORK = ["message", *["one call", "observe", "three calls", "observe", "take up", "observe", "take up", "observe"] * 6]


def messages(events: Sequence[Event]) -> list[dict[str, Any]]:
    found: Any = list(dialogue(events))
    return found  # type: ignore[no-any-return]  # the field's form of messages


def results(events: Sequence[Event]) -> dict[str, str]:
    return {one["tool_call_id"]: one["content"] for one in messages(events) if one["role"] == "tool"}


@given(LONG_STORIES, st.integers(4, 60))
@settings(max_examples=150, deadline=None)
def test_a_cut_never_parts_a_reply_from_its_results(steps: list[str], wanted: int) -> None:
    events = built_log(steps).events
    first, last = cut(events, wanted)
    assert beginning(events) <= first <= last
    assert last <= wanted or first == last
    forgotten, kept = events[first:last], [*events[:first], *events[last:]]
    assert valid(messages(kept))
    assert valid(messages(forgotten))
    before, now = results(events), results(kept) | results(forgotten)
    assert now == before
    assert not results(kept).keys() & results(forgotten).keys()


@given(STORIES)
@settings(max_examples=60, deadline=None)
def test_the_prompt_and_the_first_message_are_kept(steps: list[str]) -> None:
    events = built_log(["message", *steps]).events
    kept = events[: beginning(events)]
    assert any(isinstance(event, SystemAction) for event in kept)
    assert isinstance(kept[-1], MessageAction)
    assert kept[-1].source is Source.USER


def test_a_long_reply_is_cut_before_it_begins() -> None:
    book = built_log(["message", "one call", "observe", "three calls", "observe", "take up", "observe", "take up"])
    planned = next(place for place, event in enumerate(book.events) if event.KIND == "tool_calls")
    assert cut(book.events, len(book.events)) == (beginning(book.events), planned)


@pytest.mark.parametrize("end", ["speak", "finish", "stop"])
def test_turns_that_have_ended_are_no_obstacle(end: str) -> None:
    book = built_log(["message", "three calls", "observe", end, "message"])
    book.stop()
    assert cut(book.events, len(book.events)) == (beginning(book.events), len(book.events) - 1)


def test_a_finish_that_a_new_message_overtook_is_no_obstacle() -> None:
    """The turn went on behind it, so no end of a turn follows."""
    book = built_log(["message"])
    book.finish()
    overtaken = [event for event in book.events if event.KIND != "turn_ended"]
    more = LogBuilder()
    more.events = overtaken
    for _ in range(4):
        more.reply("{}")
        more.observe()
    assert cut(more.events, len(more.events) - 2) == (beginning(more.events), len(more.events) - 2)


async def condense(events: Sequence[Event], size: int, model: FakeModel) -> CondensationAction | None:
    made = await WindowCondenser("Sum up!").condense(events, size, ModelAgent(model, NotingLedger()))
    if made is None:
        return None
    return CondensationAction(
        forgotten_events_start_id=made.start, forgotten_events_end_id=made.end, summary=made.summary
    )


async def test_a_short_history_is_left_alone() -> None:
    events = built_log(["message", "one call", "observe"]).events
    assert await condense(events, len(events), FakeModel([])) is None


async def test_a_long_one_is_summed_up_by_the_model_from_what_is_forgotten() -> None:
    events = built_log(WORK).events
    model = FakeModel([FakeReply(text="  They looked around.\n")])
    made = await condense(events, 40, model)
    assert made is not None
    assert made.summary == "They looked around."
    start, end = made.forgotten_events_start_id, made.forgotten_events_end_id
    assert start is not None
    assert end is not None
    assert start == beginning(events)
    assert 18 <= len(events) - 1 - end <= 22 + 5
    *shown, last = model.requests[0].messages
    assert last == {"role": "user", "content": "Sum up!"}
    assert {message["role"] for message in shown} == {"user", "assistant"}
    told = "\n".join(str(message["content"]) for message in shown)
    for message in messages(events[start : end + 1]):
        assert message["content"] in told
        assert all(call["function"]["arguments"] in told for call in message.get("tool_calls", ()))
    assert not model.requests[0].tools


async def test_of_a_very_long_one_no_more_is_summed_up_at_once_than_a_model_is_shown() -> None:
    events = built_log(WORK * 5).events
    made = await condense(events, 20, FakeModel([FakeReply(text="The first part.")]))
    assert made is not None
    assert made.forgotten_events_start_id is not None
    assert made.forgotten_events_end_id is not None
    assert len(events) > 200
    assert made.forgotten_events_end_id - made.forgotten_events_start_id < 20


async def test_the_summary_in_force_is_summed_up_with_the_rest() -> None:
    book = built_log(WORK)
    first = await condense(book.events, 20, FakeModel([FakeReply(text="First part.")]))
    assert first is not None
    book.append(first)
    for step in WORK[1:]:
        STEPS[step](book)
    assert first.forgotten_events_end_id is not None
    assert first.forgotten_events_start_id is not None
    kept = [
        event
        for event in book.events
        if not first.forgotten_events_start_id <= event.id <= first.forgotten_events_end_id
    ]
    model = FakeModel([FakeReply(text="Both parts.")])
    second = await condense(kept, 20, model)
    assert second is not None
    assert second.forgotten_events_start_id == first.forgotten_events_end_id + 1
    assert model.requests[0].messages[0] == {"role": "user", "content": "Summary so far:\nFirst part."}


@pytest.mark.parametrize("text", ["", "  \n"])
async def test_a_model_that_says_nothing_leaves_a_note(text: str) -> None:
    made = await condense(built_log(WORK).events, 20, FakeModel([FakeReply(text=text)]))
    assert made is not None
    assert made.summary == LEFT_OUT


async def test_an_agent_without_a_model_leaves_a_note() -> None:
    made = await WindowCondenser("Sum up!").condense(built_log(WORK).events, 20, ShellAgent())
    assert made is not None
    assert (made.summary, made.reply) == (LEFT_OUT, None)


async def test_a_model_that_fails_fails_the_turn() -> None:
    model = FakeModel([FakeReply(fail=ModelFailure("STATUS$ERROR", "no"))])
    with pytest.raises(ModelFailure):
        await condense(built_log(WORK).events, 20, model)


async def test_one_endless_reply_cannot_be_cut() -> None:
    book = built_log(["message"])
    book.reply(*["{}"] * 30)
    for _ in range(29):
        book.observe()
        book.take_up()
    assert await condense(book.events, 20, FakeModel([])) is None
