"""What one turn of a program's session says, read from its events."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from openhands_sessions.core.errors import TurnFailed
from openhands_sessions.core.events.actions import FinishAction, MessageAction, RejectAction
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import (
    ModelCalledObservation,
    QueuedMessagesDroppedAction,
    StopReason,
    TurnEndedObservation,
)
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.lineage import Checkpoint
from openhands_sessions.core.money import dollars
from openhands_sessions.sdk.results import TurnResult, TurnUsage

SPOKEN = frozenset(f"action:{kind.KIND}" for kind in (MessageAction, FinishAction, RejectAction))
"""The kinds of events that are messages of a dialogue."""
_ENDS = {
    StopReason.STOPPED: "the turn was stopped",
    StopReason.MAX_ITERATIONS: "the turn took more model calls than Agent(max_iterations=...) allows",
    StopReason.MAX_COST: "the turn cost more than the configuration allows",
}
_WELL = (StopReason.DONE, StopReason.WAITING)


class TurnReading:
    """Reads the events of the turn `turn`, in their order, up to its end. Those of other turns are passed over."""

    def __init__(self, turn: EventId, agent: str) -> None:
        self.turn = turn
        self.asks = False
        """Whether the newest event of the turn says that it awaits answers."""
        self._agent = agent
        self._messages: list[Mapping[str, Any]] = []
        self._usage = TurnUsage()
        self._ended: TurnEndedObservation | None = None

    def add(self, event: Event) -> TurnResult | None:
        """The result, with the event after which nothing of the turn follows. Raises TurnFailed where it has none."""
        if self._ended is not None:
            return self._result(self._ended, event)
        if isinstance(event, QueuedMessagesDroppedAction) and self.turn in event.queued:
            raise TurnFailed("the message was taken out of the queue", reason=str(event.reason), turn=self.turn)
        if event.turn != self.turn:
            return None
        if isinstance(event, ModelCalledObservation):
            self._count(event)
        self.asks = False
        if isinstance(event, TurnEndedObservation) and event.stop_reason is StopReason.APPROVAL:
            self.asks = True
        elif isinstance(event, TurnEndedObservation):
            self._ended = event
        elif (message := message_of(event, self._agent)) is not None:
            self._messages.append(message)
        return None

    def _result(self, ended: TurnEndedObservation, after: Event) -> TurnResult:
        """The event after the end says in which state the agent is, and why."""
        if ended.stop_reason not in _WELL:
            reason = after.reason if isinstance(after, AgentStateChangedObservation) else ""
            text = reason or _ENDS.get(ended.stop_reason) or f"the turn ended without an answer: {ended.stop_reason}"
            raise TurnFailed(text, reason=str(ended.stop_reason), turn=self.turn)
        said = [message for message in self._messages if message["role"] == "assistant"]
        return TurnResult(
            text=said[-1]["content"] if said else "",
            messages=tuple(self._messages),
            usage=self._usage,
            turn=self.turn,
            checkpoint=Checkpoint(name="", description="", at=after.id),
        )

    def _count(self, call: ModelCalledObservation) -> None:
        before = self._usage
        cost = before.dollars
        if call.micro_dollars is not None:
            cost = (cost or 0.0) + dollars(call.micro_dollars)
        self._usage = TurnUsage(
            prompt_tokens=before.prompt_tokens + call.prompt_tokens,
            completion_tokens=before.completion_tokens + call.completion_tokens,
            dollars=cost,
        )


def message_of(event: Event, agent: str) -> dict[str, Any] | None:
    """A message of the dialogue: `role`, `content`, `timestamp` (ISO 8601, UTC), `id`, `turn` and `agent`, None for the
    user. None for what is no message."""
    match event:
        case MessageAction(content=content):
            text = content
        case FinishAction() | RejectAction():
            text = event.describe()
        case _:
            return None
    users = event.source is Source.USER
    return {
        "role": "user" if users else "assistant",
        "content": text,
        "timestamp": event.timestamp.astimezone(UTC).isoformat(timespec="microseconds"),
        "id": int(event.id),
        "turn": None if event.turn is None else int(event.turn),
        "agent": None if users else event.agent_name or agent,
    }


def messages_of(events: Sequence[Event], agent: str) -> list[dict[str, Any]]:
    """Those of the events that are messages."""
    return [message for event in events if (message := message_of(event, agent)) is not None]
