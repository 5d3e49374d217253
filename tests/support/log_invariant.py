"""What is true of every log, whatever users did."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from openhands_sessions.core.dialogue import dialogue
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.budget import BudgetReservedAction
from openhands_sessions.core.events.event import AgentState, Event, Observation, Source
from openhands_sessions.core.events.own import (
    MessageQueuedAction,
    QueuedMessagesDroppedAction,
    StopReason,
    TurnEndedObservation,
)
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.lineage import on_chain
from openhands_sessions.core.view import ConversationView
from tests.support.moved_logs import views_of
from tests.support.valid_history import valid


def check_log(events: Sequence[Event]) -> None:
    """Of a log whose session rests: dense ids, one result for each call on every branch, nothing left open."""
    assert [event.id for event in events] == list(range(len(events)))
    answered = Counter(event.cause for event in events if isinstance(event, Observation) and event.cause is not None)
    assert set(answered.values()) <= {1}
    views = views_of(list(events))
    view = views[-1]
    check_budget(events, views)
    for chain in (view.chain, *(view.lineage.path(branch.tip) for branch in view.lineage.branches)):
        messages: Any = dialogue([event for event in events if on_chain(chain, event.id)])
        assert valid(messages)
    check_turns(events, [queued.id for queued in view.queued])
    assert view.open_actions == ()
    assert not view.owed or view.pending is not None
    assert view.stopping is None
    assert view.agent_state is not AgentState.RUNNING


def check_budget(events: Sequence[Event], views: Sequence[ConversationView]) -> None:
    """What is reserved fitted, and no more is spent than was ever granted. Each call takes its price once, and at rest
    nothing stays reserved but behind a question."""
    reserved: Counter[tuple[str, str]] = Counter()
    granted = 0
    for before, event, after in zip(views[:-1], events, views[1:], strict=True):
        granted = max(granted, after.budget.cap or 0)
        assert min(after.budget.spent, after.budget.held, after.budget.rest) >= 0
        assert before.budget.spent <= after.budget.spent <= after.budget.spent + after.budget.held <= granted
        if isinstance(event, BudgetReservedAction):
            assert sum(one.micro_dollars for one in event.calls) <= before.budget.rest
            reserved.update((event.response, one.call) for one in event.calls)
    assert set(reserved.values()) <= {1}
    assert not views[-1].budget.reserved or views[-1].pending is not None


def check_turns(events: Sequence[Event], waiting: Sequence[EventId]) -> None:
    """Each message that was queued waits, was dropped, or has opened its turn, once; a turn ends once."""
    queued = [event.id for event in events if isinstance(event, MessageQueuedAction)]
    said = [event for event in events if isinstance(event, MessageAction) and event.source is Source.USER]
    begun = {event.turn for event in said if event.turn in queued}  # what steers the turn has its number too
    dropped = [each for event in events if isinstance(event, QueuedMessagesDroppedAction) for each in event.queued]
    assert sorted([*waiting, *begun, *dropped]) == queued
    assert all(event.turn is not None for event in said)
    ended = Counter(
        event.turn
        for event in events
        if isinstance(event, TurnEndedObservation) and event.stop_reason is not StopReason.APPROVAL
    )
    twice = [turn for turn, times in ended.items() if times > 1 and turn is not None]  # a stop may end none
    assert twice == []
