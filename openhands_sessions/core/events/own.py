"""Kinds of events that only this project has. They are not sent to clients of the V0 protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from openhands_sessions.core.events.event import Action, Json, Observation, kinds_of
from openhands_sessions.core.history_form import HistoryForm


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedCall:
    """One tool call of a reply, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCallsAction(Action, kind="tool_calls"):
    """Ours: a model's reply with several tool calls, recorded before the first of them is carried out,
    so that a restart knows which are still to do."""

    response_id: str
    calls: tuple[PlannedCall, ...]
    thought: str = ""

    def describe(self) -> str:
        return f"{len(self.calls)} tool calls"


@dataclass(frozen=True, kw_only=True, slots=True)
class InvalidCallAction(Action, kind="invalid_call", says="A tool call that cannot be carried out"):
    """Ours: a tool call that cannot be carried out (unknown tool, malformed arguments); the call itself
    is in `tool_call_metadata`."""

    thought: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelReplyAction(Action, kind="model_reply", says="What the model said beside its answer"):
    """Ours: what a reply held beside text and calls; recorded before the events that the reply leads to, which follow
    it at once. `extra` are the fields of the provider's message as it sent them, `calls` those of each call by its id:
    both are given back to `model`, and to no other. `thoughts` is the readable part of its reasoning."""

    response_id: str
    model: str
    finish_reason: str | None = None
    thoughts: str = ""
    extra: Mapping[str, Json] = field(default_factory=dict)
    calls: Mapping[str, Json] = field(default_factory=dict)


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
class TurnEndedObservation(Observation, kind="turn_ended"):
    """Ours: a turn is over. `seen` is the newest event that the agent had taken into account: a user
    message after it is still to be answered."""

    stop_reason: StopReason
    seen: int
    iterations: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnResumedObservation(Observation, kind="turn_resumed"):
    """Ours: a turn that was cut off goes on; `repeated_calls` counts a model call that never answered."""

    repeated_calls: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayBegunObservation(Observation, kind="replay_begun", says="Replaying {0.steps} recorded steps"):
    """Ours: from here on `steps` recorded actions are issued in place of the model. Each of them has this event for
    its `cause`."""

    steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayEndedObservation(Observation, kind="replay_ended", says="The replay was ended behind step {0.done}"):
    """Ours: a replay is given up before its end; `done` of its steps were issued."""

    done: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryRepairedObservation(Observation, kind="history_repaired"):
    """Ours: the model refused the history, and took it in another form, in which it gets it from now on."""

    form: HistoryForm


OWN_ACTIONS: dict[str, type[Action]] = kinds_of(Action, __name__, vars())
OWN_OBSERVATIONS: dict[str, type[Observation]] = kinds_of(Observation, __name__, vars())
