"""Which events count as unread, and behind which mark."""

from dataclasses import replace

import pytest

from openhands_sessions.core.events.actions import FinishAction, MessageAction, RunAction, ThinkAction
from openhands_sessions.core.events.event import AgentState, ConfirmationState, Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import StopReason, TurnEndedObservation
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.unread import MOST, is_notice, noted, unread_after
from openhands_sessions.core.view import ConversationView, reduce

SAID = MessageAction(content="Done.", source=Source.AGENT)
ASKED = RunAction(command="rm x", confirmation_state=ConfirmationState.AWAITING)


def ended(reason: StopReason) -> Event:
    return TurnEndedObservation(stop_reason=reason, seen=0)


@pytest.mark.parametrize(
    "event", [SAID, ASKED, *(ended(reason) for reason in StopReason if reason not in ("waiting", "approval"))], ids=str
)
def test_messages_of_the_agent_questions_and_unannounced_ends_count(event: Event) -> None:
    assert is_notice(event)


@pytest.mark.parametrize(
    "event",
    [
        MessageAction(content="hi", source=Source.USER),
        RunAction(command="ls"),
        replace(ASKED, confirmation_state=ConfirmationState.CONFIRMED),
        ThinkAction(thought="hm"),
        FinishAction(final_thought="That is all."),
        AgentStateChangedObservation(agent_state=AgentState.FINISHED),
        ended(StopReason.WAITING),
        ended(StopReason.APPROVAL),
    ],
    ids=str,
)
def test_nothing_else_does(event: Event) -> None:
    assert not is_notice(event)


@pytest.mark.parametrize(
    "turn",
    [
        (RunAction(command="ls"), SAID, ended(StopReason.WAITING)),
        (FinishAction(final_thought="That is all."), ended(StopReason.DONE)),
        (ASKED, ended(StopReason.APPROVAL)),
        (ended(StopReason.ERROR),),
    ],
    ids=["answered", "finished", "asks", "failed"],
)
def test_a_turn_counts_once_however_it_ends(turn: tuple[Event, ...]) -> None:
    view = ConversationView()
    for number, event in enumerate((MessageAction(content="hi", source=Source.USER), *turn)):
        view = reduce(view, replace(event, id=EventId(number)))
    assert len(view.notices) == unread_after(view.notices, -1) == 1
    assert unread_after(view.notices, view.notices[0]) == 0


def test_the_newest_are_kept_and_counted_behind_a_mark() -> None:
    notices: tuple[EventId, ...] = ()
    for number in range(0, 3 * MOST, 2):
        notices = noted(notices, EventId(number))
    assert notices == tuple(range(MOST, 3 * MOST, 2))
    assert unread_after(notices, -1) == MOST
    assert unread_after(notices, 3 * MOST - 7) == 3
    assert unread_after(notices, 3 * MOST - 6) == 2
    assert unread_after(notices, 3 * MOST) == 0
