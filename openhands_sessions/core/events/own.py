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
    """A model's reply with several tool calls. It is recorded before the first call is carried out, so that after a
    restart the server knows which calls are still to do."""

    response_id: str
    calls: tuple[PlannedCall, ...]
    thought: str = ""

    def describe(self) -> str:
        return f"{len(self.calls)} tool calls"


@dataclass(frozen=True, kw_only=True, slots=True)
class InvalidCallAction(Action, kind="invalid_call", says="A tool call that cannot be carried out"):
    """A tool call that cannot be carried out (unknown tool, malformed arguments). The call is in
    `tool_call_metadata`."""

    thought: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelReplyAction(Action, kind="model_reply", says="What the model said beside its answer"):
    """What a model's reply has beside text and calls. The events of the reply follow it at once. `extra` holds fields
    of the provider's message, `calls` fields of each call by its id: both are given back to `model` only. `thoughts`
    is the readable part of the reasoning."""

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
    """A turn has ended. `seen` is the id of the newest event that the agent has taken into account: a user's message
    after it still needs an answer."""

    stop_reason: StopReason
    seen: int
    iterations: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnResumedObservation(Observation, kind="turn_resumed"):
    """A turn that was cut off continues. `repeated_calls` counts the model calls that are repeated: 0 or 1."""

    repeated_calls: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayBegunObservation(Observation, kind="replay_begun", says="Replaying {0.steps} recorded steps"):
    """A replay begins: from here on, `steps` recorded actions are issued in place of the model. Each has this event as
    its `cause`."""

    steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayEndedObservation(Observation, kind="replay_ended", says="The replay was ended behind step {0.done}"):
    """A replay ends early, after `done` of its steps."""

    done: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryRepairedObservation(Observation, kind="history_repaired"):
    """The model refused the history, and accepted it in another form. From now on it gets that form."""

    form: HistoryForm


OWN_ACTIONS: dict[str, type[Action]] = kinds_of(Action, __name__, vars())
OWN_OBSERVATIONS: dict[str, type[Observation]] = kinds_of(Observation, __name__, vars())
