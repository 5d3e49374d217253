"""Kinds of our own: clients of the V0 protocol do not know them, and are spared them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from openhands_sessions.core.events.event import Action, Observation


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedCall:
    """One tool call of a reply, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCallsAction(Action):
    """Ours: a model's reply with several tool calls, recorded before the first of them is carried out,
    so that a restart knows which are still to do."""

    KIND: ClassVar[str] = "tool_calls"

    response_id: str
    calls: tuple[PlannedCall, ...]
    thought: str = ""

    def describe(self) -> str:
        return f"{len(self.calls)} tool calls"


@dataclass(frozen=True, kw_only=True, slots=True)
class InvalidCallAction(Action):
    """Ours: a tool call that cannot be carried out (unknown tool, malformed arguments); the call itself
    is in `tool_call_metadata`."""

    KIND: ClassVar[str] = "invalid_call"

    thought: str = ""

    def describe(self) -> str:
        return "A tool call that cannot be carried out"


class StopReason(StrEnum):
    """Why a turn ended."""

    DONE = "done"
    WAITING = "waiting"
    STOPPED = "stopped"
    MAX_ITERATIONS = "max_iterations"
    MAX_COST = "max_cost"
    ERROR = "error"
    STUCK = "stuck"


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnEndedObservation(Observation):
    """Ours: a turn is over. `seen` is the newest event that the agent had taken into account: a user
    message after it is still to be answered."""

    KIND: ClassVar[str] = "turn_ended"

    stop_reason: StopReason
    seen: int
    iterations: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnResumedObservation(Observation):
    """Ours: a turn that was cut off goes on; `repeated_calls` counts a model call that never answered."""

    KIND: ClassVar[str] = "turn_resumed"

    repeated_calls: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayBegunObservation(Observation):
    """Ours: from here on `steps` recorded actions are issued in place of the model. Each of them has this event for
    its `cause`."""

    KIND: ClassVar[str] = "replay_begun"

    steps: int

    def describe(self) -> str:
        return f"Replaying {self.steps} recorded steps"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayEndedObservation(Observation):
    """Ours: a replay is given up before its end; `done` of its steps were issued."""

    KIND: ClassVar[str] = "replay_ended"

    done: int

    def describe(self) -> str:
        return f"The replay was ended behind step {self.done}"


OWN_ACTIONS = frozenset({ToolCallsAction.KIND, InvalidCallAction.KIND})


OWN_OBSERVATIONS = frozenset(
    kind.KIND for kind in (TurnEndedObservation, TurnResumedObservation, ReplayBegunObservation, ReplayEndedObservation)
)
