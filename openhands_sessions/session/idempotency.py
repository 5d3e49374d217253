"""Idempotency keys: a command that comes twice with one key takes effect once, and gets the same answer."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from openhands_sessions.core.commands import Command
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import ChangeAgentStateAction, MessageAction
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import AgentState, Event, Source
from openhands_sessions.core.events.own import (
    ApprovalDecidedAction,
    MessageQueuedAction,
    QueuedMessageEditedAction,
    QueuedMessagesDroppedAction,
)
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.ports.store import Receipt
from openhands_sessions.session.event_stream import EventStream

_UNSAID = (("mode", "steer"), ("turn", None), ("arguments", None), ("feedback", ""), ("always", None), ("agent", None))
"""Fields that are no part of a digest: receipts of servers that do not know them still fit."""
_LONGEST = 2_000
"""Events of one command up to the message that it has said: it may reject a batch of questions first."""
_ONE_TURN = (
    *(MessageAction, MessageQueuedAction, QueuedMessageEditedAction, QueuedMessagesDroppedAction),
    ApprovalDecidedAction,
)
"""With which commands begin that belong to the turn of their first event."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A command's key, and a digest of its content: a key that comes again with another command is refused."""

    key: str
    digest: str

    @classmethod
    def of(cls, key: str, command: Command) -> "IdempotencyKey":
        """Raises BadInput for a key with a NUL: such keys are those of what is no command."""
        if "\0" in key:
            raise BadInput("key", "must have no NUL in it; take another one")
        told = {name: value for name, value in asdict(command).items() if (name, value) not in _UNSAID}
        content = {"kind": type(command).__name__, **told}
        return cls(key, hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest())


def receipt_of(key: IdempotencyKey | None) -> Receipt | None:
    """What is stored with a command's events; the stream fills in the id of the first."""
    return None if key is None else Receipt(key=key.key, digest=key.digest, event=UNNUMBERED)


async def earlier_answer(stream: EventStream, key: IdempotencyKey | None) -> Accepted | None:
    """What the command did when it came before. Raises BadInput where the key came with another command,
    StorageError."""
    known = None if key is None else await stream.receipt(key.key)
    if key is None or known is None:
        return None
    if known.digest != key.digest:
        raise BadInput("key", "was used for another command; take a new one")
    first = known.event
    events: list[Event] = []
    async for batch in stream.read(first - 1, before=first + _LONGEST):
        for event in (decode(entry.text, entry.schema) for entry in batch):
            if events and event.timestamp != events[0].timestamp:  # what one command appends has one time
                return Accepted(first, turn_in(events))
            events.append(event)
    return Accepted(first, turn_in(events)) if events else Accepted(first)


def turn_in(events: Sequence[Event]) -> EventId | None:
    """The turn of the command whose events begin here. Where it rejects an action or moves the history, it is that of
    the message that it says then, if it says one: what one command appends has one time."""
    first = events[0]
    answers = isinstance(first, ChangeAgentStateAction) and first.agent_state is not AgentState.USER_REJECTED
    if isinstance(first, _ONE_TURN) or answers:
        return first.turn
    said = (event for event in events if isinstance(event, MessageAction) and event.source is Source.USER)
    return next((event for event in said if event.timestamp == first.timestamp), first).turn
