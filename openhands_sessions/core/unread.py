"""What a user has not read yet: which events count, and how many of them are newer than a user's mark. Pure."""

from bisect import bisect_right
from collections.abc import Sequence

from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.budget import SpendingPausedAction
from openhands_sessions.core.events.event import ConfirmationState, Event, Source
from openhands_sessions.core.events.own import StopReason, TurnEndedObservation
from openhands_sessions.core.ids import EventId

MOST = 100
"""As many are counted: this number means so many, or more."""
TOLD_OTHERWISE = (StopReason.WAITING, StopReason.APPROVAL)
"""Ends of turns that a message or a question has announced."""


def is_notice(event: Event) -> bool:
    """Whether it counts: a message of the agent, an action that awaits an answer, and the end of a turn that neither of
    them has announced."""
    match event:
        case MessageAction(source=source):
            return source is Source.AGENT
        case TurnEndedObservation(stop_reason=reason):
            return reason not in TOLD_OTHERWISE
        case SpendingPausedAction():
            return False  # a message of the agent says the same
        case _:
            return getattr(event, "confirmation_state", None) is ConfirmationState.AWAITING


def noted(notices: tuple[EventId, ...], event: EventId) -> tuple[EventId, ...]:
    """The newest MOST with one more, ascending."""
    return (*notices[1 - MOST :], event)


def unread_after(notices: Sequence[EventId], mark: int) -> int:
    """How many are newer than the mark, at most MOST."""
    return len(notices) - bisect_right(notices, mark)
