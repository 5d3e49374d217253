"""Which events persons cause: they carry the id of the person who did."""

from openhands_sessions.core.events.actions import ChangeAgentStateAction, MessageAction
from openhands_sessions.core.events.branches import BranchDeletedObservation
from openhands_sessions.core.events.budget import BudgetSetAction
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.events.own import (
    AlwaysAllowedAction,
    ApprovalDecidedAction,
    CheckpointCreatedObservation,
    FeedbackGivenObservation,
    HistoryCompactedAction,
    HistoryMovedObservation,
    MessageQueuedAction,
    QueuedMessageEditedAction,
    QueuedMessagesDroppedAction,
)

_BY_PERSONS = frozenset(
    {
        MessageAction,
        ChangeAgentStateAction,
        MessageQueuedAction,
        QueuedMessageEditedAction,
        QueuedMessagesDroppedAction,
        HistoryMovedObservation,
        BranchDeletedObservation,
        CheckpointCreatedObservation,
        FeedbackGivenObservation,
        HistoryCompactedAction,
        ApprovalDecidedAction,
        AlwaysAllowedAction,
        BudgetSetAction,
    }
)


def is_by_person(event: Event) -> bool:
    """Whether a person caused it: of the events that a command becomes, some are the agent's or the server's."""
    return event.source is Source.USER and type(event) in _BY_PERSONS
