"""Copies of events under new numbers, for a fork or a merge. Pure.

A copy is history, not work: it says where it comes from, and holds nothing that would count or act a second time. What
model calls have used, reservations, rules and queued messages stay in the conversation that they were made in."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from openhands_sessions.core.events.actions import CondensationAction
from openhands_sessions.core.events.branches import BranchDeletedObservation
from openhands_sessions.core.events.budget import BUDGET_ACTIONS
from openhands_sessions.core.events.codec import SCHEMA, Stored, wire_of
from openhands_sessions.core.events.copies import ConversationForkedObservation, HistoryMergedObservation
from openhands_sessions.core.events.own import (
    AlwaysAllowedAction,
    ApprovalDecidedAction,
    CheckpointCreatedObservation,
    FeedbackGivenObservation,
    HistoryMovedObservation,
    MessageQueuedAction,
    ModelCalledObservation,
    QueuedMessageEditedAction,
    QueuedMessagesDroppedAction,
    ReplayBegunObservation,
    ReplayEndedObservation,
    TurnEndedObservation,
)
from openhands_sessions.core.foreign_events import EventNumbering, forgetting
from openhands_sessions.core.ids import ConversationId, EventId

_ACTIONS = (AlwaysAllowedAction, MessageQueuedAction, QueuedMessageEditedAction, QueuedMessagesDroppedAction)
_OBSERVATIONS = (
    *(BranchDeletedObservation, CheckpointCreatedObservation, ConversationForkedObservation),
    *(HistoryMergedObservation, HistoryMovedObservation, ModelCalledObservation),
    *(ReplayBegunObservation, ReplayEndedObservation),
)
NOT_COPIED = frozenset(
    [f"action:{kind.KIND}" for kind in _ACTIONS]
    + [f"action:{kind}" for kind in BUDGET_ACTIONS]
    + [f"observation:{kind.KIND}" for kind in _OBSERVATIONS]
)
"""Kinds that count or act in the conversation that they are of, or say how its log goes on."""


def origin_of(sid: ConversationId, wire: Mapping[str, Any]) -> str:
    """Which event this one was first, of conversation `sid` or of the one that it was copied from."""
    origin = wire.get("origin")
    return origin if isinstance(origin, str) else f"{sid}#{wire['id']}"


class EventCopies:
    """Copies events of one chain of the conversation `sid`, in their order, but for those of the kinds `without`."""

    def __init__(self, sid: ConversationId, without: Iterable[str] = NOT_COPIED) -> None:
        self._sid = sid
        self._without = frozenset(without)
        self._numbering = EventNumbering()
        self._turns: dict[int, EventId] = {}

    def copied(self, entry: Stored, number: EventId) -> dict[str, Any] | None:
        """The wire form of the copy, under this number; None for an event that is not copied. Raises StorageError."""
        if entry.kind in self._without:
            return None
        wire = wire_of(entry.text, entry.schema)
        self._numbering.add(entry.id, number)
        origin, author, turn = origin_of(self._sid, wire), wire.pop("author", None), wire.pop("turn", None)
        for left_out in ("origin", "llm_metrics"):
            wire.pop(left_out, None)
        wire["id"] = number
        if "cause" in wire and (cause := self._ours(wire.pop("cause"))) is not None:
            wire["cause"] = cause
        refer = _REFERENCES.get(entry.kind)
        body = "args" if "action" in wire else "extras"
        if refer is not None and isinstance(held := wire.get(body), dict):
            wire[body] = refer(held, self._numbering)
        wire["origin"] = origin
        if author is not None:
            wire["author"] = author
        if isinstance(turn, int):
            # A turn may have been asked for on another branch, as by a queued message: its first event names it then.
            wire["turn"] = self._turns.setdefault(turn, EventId(_known(self._numbering, turn, number)))
        return wire

    def stored(self, entry: Stored, number: int) -> Sequence[Stored]:
        """As `copied`: the copy as it is stored, or nothing."""
        wire = self.copied(entry, EventId(number))
        return [] if wire is None else [Stored(EventId(number), entry.kind, SCHEMA, orjson.dumps(wire).decode())]

    def _ours(self, theirs: object) -> int | None:
        return self._numbering.ours(theirs) if type(theirs) is int else None


def _known(numbering: EventNumbering, theirs: int, otherwise: int) -> int:
    ours = numbering.ours(theirs)
    return otherwise if ours is None else ours


def _ended(extras: dict[str, Any], numbering: EventNumbering) -> dict[str, Any]:
    """`turn_ended`: what was seen, and the turn that follows."""
    changed = {key: value for key, value in extras.items() if key not in ("moved_to", "deadline")}
    seen, moved_to = extras.get("seen"), extras.get("moved_to")
    if type(seen) is int:
        ours = numbering.at_most(seen)
        changed["seen"] = -1 if ours is None else ours
    if type(moved_to) is int and (turn := numbering.ours(moved_to)) is not None:
        changed["moved_to"] = turn
    return changed


def _decided(args: dict[str, Any], numbering: EventNumbering) -> dict[str, Any]:
    """`approval_decided`: the batch and its calls. What is not copied is named by no number."""
    decisions = args.get("decisions")
    return {
        **args,
        "batch": _known(numbering, args["batch"], -1) if type(args.get("batch")) is int else -1,
        "decisions": [
            {**one, "call": _known(numbering, one["call"], -1)}
            for one in (decisions if isinstance(decisions, list) else ())
            if isinstance(one, dict) and type(one.get("call")) is int
        ],
    }


def _about(extras: dict[str, Any], numbering: EventNumbering) -> dict[str, Any]:
    """`feedback_given`: the event that it is about."""
    about = extras.get("about")
    return {**extras, "about": numbering.ours(about) if type(about) is int else None}


def _keyless(args: dict[str, Any], _: EventNumbering) -> dict[str, Any]:
    """`message`: its idempotency key is of the conversation that it was sent to."""
    return {key: value for key, value in args.items() if key != "key"}


_REFERENCES: Mapping[str, Callable[[dict[str, Any], EventNumbering], dict[str, Any]]] = {
    "action:message": _keyless,
    f"action:{CondensationAction.KIND}": forgetting,
    f"action:{ApprovalDecidedAction.KIND}": _decided,
    f"observation:{TurnEndedObservation.KIND}": _ended,
    f"observation:{FeedbackGivenObservation.KIND}": _about,
}
"""How the numbers of other events in a kind's own fields are changed."""
