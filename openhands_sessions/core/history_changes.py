"""What a command of the history has done, read from the events that it led to."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from openhands_sessions.core.errors import NotFound
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.branches import BranchDeletedObservation
from openhands_sessions.core.events.codec import Stored, decode
from openhands_sessions.core.events.copies import HistoryMergedObservation
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.events.own import (
    CheckpointCreatedObservation,
    HistoryCompactedAction,
    HistoryMovedObservation,
    HistorySeededAction,
    MoveReason,
)
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import UNNUMBERED, EventId

MOST_EVENTS = 2_000
"""Within so many events, from the command's first on, it says what it has done: it may withdraw a batch of questions
first."""
AT_ONCE = 100
"""Events that are read at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryChange:
    """One command's. `event` says what was done, `told` says it in words."""

    event: EventId
    action: str
    told: str
    to: EventId | None = None
    """Of a move: the event after which the dialogue goes on."""
    branch: str | None = None
    left_branch: str | None = None
    """What was left is a branch of this name; None where it lies on another one anyway."""
    message: EventId | None = None
    """The user's message that opened the first turn that was left; None where none was."""
    text: str | None = None
    """What that message says."""
    turns: int | None = None
    """Of a merge: how many turns came from the other dialogue."""
    conflicts: tuple[str, ...] = ()
    """Of a merge: the origins of turns that the two dialogues have in different orders."""
    characters_before: int | None = None
    """Of a compaction: what the model was shown."""
    characters_after: int | None = None


async def read_change(read: Callable[[EventId, int], Awaitable[Sequence[Stored]]], event: EventId) -> HistoryChange:
    """The change that a command led to, whose first event is `event`. `read` gives events from an id on, at most so
    many. Raises NotFound where no event says what was done."""
    change: HistoryChange | None = None
    for start in range(event, event + MOST_EVENTS, AT_ONCE):
        entries = await read(EventId(start), AT_ONCE)
        change = _change_of(decode(entry.text, entry.schema) for entry in entries)
        if change is not None or len(entries) < AT_ONCE:
            break
    if change is None:
        raise NotFound("change of the history", str(event))
    if change.message is None:
        return change
    [entry] = await read(change.message, 1)
    message = decode(entry.text, entry.schema)
    return evolve(change, text=message.content) if isinstance(message, MessageAction) else change


def _change_of(events: Iterable[Event]) -> HistoryChange | None:
    """The first change among the events; without the text of the message that was left."""
    moved: HistoryChange | None = None
    for event in events:
        match event:
            case HistoryMergedObservation() if moved is not None:
                return evolve(
                    moved, told=f"{event.describe()}. {moved.told}", turns=event.theirs, conflicts=event.conflicts
                )
            case HistoryMovedObservation():
                moved = HistoryChange(
                    event=event.id,
                    action=event.reason,
                    told=_told(event),
                    to=event.to,
                    branch=event.branch,
                    left_branch=event.left_branch or None,
                    message=None if event.message_id == UNNUMBERED else event.message_id,
                )
                if event.reason is not MoveReason.MERGE:
                    return moved
            case CheckpointCreatedObservation(name=name):
                return HistoryChange(
                    event=event.id, action="checkpoint", told=f"This place is checkpoint {name!r} now."
                )
            case BranchDeletedObservation(name=name):
                return HistoryChange(
                    event=event.id, action="delete_branch", told=f"There is no branch {name!r} any more.", branch=name
                )
            case HistoryCompactedAction():
                return HistoryChange(
                    event=event.id,
                    action="compact",
                    told=event.told,
                    characters_before=event.characters_before,
                    characters_after=event.characters_after,
                )
            case HistorySeededAction():
                return HistoryChange(event=event.id, action="seed", told=f"{event.describe()}.")
    return moved


def _told(move: HistoryMovedObservation) -> str:
    left = f" What was left is branch {move.left_branch!r}." if move.left_branch else ""
    return (
        f"The dialogue goes on after event {move.to}, on branch {move.branch!r}.{left} The workspace is as it is now."
    )
