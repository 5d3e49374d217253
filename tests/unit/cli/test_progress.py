"""Whose turn it is, from the events alone."""

from dataclasses import replace

import pytest

from openhands_sessions.cli.progress import ConversationUsage, Progress, Sent
from openhands_sessions.core.commands import Answer, SendMessage, Stop
from openhands_sessions.core.events.actions import MessageAction, RunAction
from openhands_sessions.core.events.event import AgentState, ConfirmationState, Event, Json, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import StopReason, TurnEndedObservation
from openhands_sessions.core.ids import EventId


def state(name: AgentState) -> Event:
    return AgentStateChangedObservation(agent_state=name)


def ended(reason: StopReason, seen: int) -> Event:
    return TurnEndedObservation(stop_reason=reason, seen=seen)


def behind(*events: Event) -> Progress:
    """The progress behind events that are numbered from 0."""
    progress = Progress()
    for number, event in enumerate(events):
        progress = progress.after(replace(event, id=EventId(number)))
    return progress


SAID = MessageAction(content="x", source=Source.USER)
ASKING = RunAction(command="rm x", confirmation_state=ConfirmationState.AWAITING)
RUNNING, IDLE = state(AgentState.RUNNING), state(AgentState.AWAITING_USER_INPUT)
MESSAGE = SendMessage(content="x")


def test_a_message_is_answered_when_a_turn_that_saw_it_has_ended() -> None:
    sent = Sent(MESSAGE, 0)
    assert not sent.over(behind(SAID))
    assert not sent.over(behind(SAID, RUNNING))
    assert not sent.over(behind(SAID, RUNNING, ended(StopReason.WAITING, 1)))
    done = behind(SAID, RUNNING, ended(StopReason.WAITING, 1), IDLE)
    assert sent.over(done)
    assert sent.well(done)


def test_a_message_during_a_turn_is_not_answered_by_a_turn_that_has_not_seen_it() -> None:
    turn = (SAID, RUNNING, SAID, ended(StopReason.WAITING, 1), IDLE)
    assert Sent(MESSAGE, 0).over(behind(*turn))
    assert not Sent(MESSAGE, 2).over(behind(*turn))


@pytest.mark.parametrize(
    ("reason", "end", "well"),
    [
        (StopReason.DONE, AgentState.FINISHED, True),
        (StopReason.WAITING, AgentState.AWAITING_USER_INPUT, True),
        (StopReason.STOPPED, AgentState.STOPPED, False),
        (StopReason.MAX_ITERATIONS, AgentState.ERROR, False),
        (StopReason.MAX_COST, AgentState.ERROR, False),
        (StopReason.ERROR, AgentState.RATE_LIMITED, False),
        (StopReason.STUCK, AgentState.ERROR, False),
    ],
)
def test_a_turn_ends_well_or_not_by_its_reason(reason: StopReason, end: AgentState, well: bool) -> None:
    progress = behind(SAID, RUNNING, ended(reason, 1), state(end))
    assert Sent(MESSAGE, 0).over(progress)
    assert Sent(MESSAGE, 0).well(progress) is well


def test_a_question_ends_the_wait_and_is_pending_until_it_is_answered() -> None:
    asked = (SAID, RUNNING, state(AgentState.AWAITING_USER_CONFIRMATION), ASKING, ended(StopReason.WAITING, 1))
    assert Sent(MESSAGE, 0).over(behind(*asked))
    assert behind(*asked).pending == 3
    confirmed = replace(ASKING, confirmation_state=ConfirmationState.CONFIRMED, cause=EventId(3))
    answered = (*asked, SAID, confirmed, state(AgentState.USER_CONFIRMED))
    assert behind(*answered).pending is None
    yes = Sent(Answer(confirmed=True), 5)
    assert not yes.over(behind(*answered))
    assert yes.over(behind(*answered, RUNNING, ended(StopReason.DONE, 1), state(AgentState.FINISHED)))


def test_a_session_that_fails_ends_every_wait() -> None:
    failed = behind(SAID, RUNNING, state(AgentState.ERROR))
    assert Sent(MESSAGE, 0).over(failed)
    assert Sent(Answer(confirmed=True), 0).over(failed)
    assert not Sent(MESSAGE, 0).well(failed)


def test_a_stop_is_over_when_nothing_works_any_more() -> None:
    assert not Sent(Stop(), 2).over(behind(SAID, RUNNING, SAID))
    assert Sent(Stop(), 2).over(behind(SAID, RUNNING, SAID, state(AgentState.STOPPED)))
    assert Sent(Stop(), 2).over(behind(SAID, IDLE, SAID))


@pytest.mark.parametrize("name", AgentState)
def test_who_works_is_told_by_the_state(name: AgentState) -> None:
    working = {AgentState.LOADING, AgentState.RUNNING, AgentState.USER_CONFIRMED, AgentState.USER_REJECTED}
    assert behind(state(name)).working is (name in working)


def test_what_a_turn_used_is_the_difference_of_what_the_conversation_used() -> None:
    def call(read: int, written: int, cost: float) -> Event:
        tokens: dict[str, Json] = {"prompt_tokens": read, "completion_tokens": written, "model": "m"}
        return MessageAction(content="x", llm_metrics={"accumulated_cost": cost, "accumulated_token_usage": tokens})

    nothing = ConversationUsage()
    first = nothing.after(call(1_200, 30, 0.0)).after(SAID)
    assert (first.since(nothing), first.model) == ("1,200 tokens in, 30 out", "m")
    assert first.after(call(1_500, 40, 0.0123)).since(first) == "300 tokens in, 10 out, $0.0123"
    assert first.since(first) == ""


def test_figures_that_are_none_count_as_nothing() -> None:
    odd: dict[str, Json] = {"accumulated_cost": float("nan"), "accumulated_token_usage": "many"}
    assert ConversationUsage().after(MessageAction(content="x", llm_metrics=odd)) == ConversationUsage()
