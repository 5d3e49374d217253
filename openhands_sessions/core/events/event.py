"""What every entry of the log has in common. Wire form: see `codec.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import ClassVar, TypeAlias, TypeVar

from pydantic import JsonValue

from openhands_sessions.core.ids import UNNUMBERED, EventId, OwnerId

Json: TypeAlias = JsonValue
E = TypeVar("E", bound="Event")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Source(StrEnum):
    """Who brought the event about."""

    USER = "user"
    AGENT = "agent"
    ENVIRONMENT = "environment"


class AgentState(StrEnum):
    """What the agent is doing, as users see it."""

    LOADING = "loading"
    RUNNING = "running"
    AWAITING_USER_INPUT = "awaiting_user_input"
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"
    REJECTED = "rejected"
    ERROR = "error"
    AWAITING_USER_CONFIRMATION = "awaiting_user_confirmation"
    USER_CONFIRMED = "user_confirmed"
    USER_REJECTED = "user_rejected"
    RATE_LIMITED = "rate_limited"


class ConfirmationState(StrEnum):
    """Whether the user has agreed to an action."""

    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    AWAITING = "awaiting_confirmation"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """The model's call that an event belongs to. `arguments` is the JSON text as the model wrote it;
    calls of one reply share `model_response["id"]`."""

    function_name: str
    tool_call_id: str
    model_response: Mapping[str, Json] = field(default_factory=dict)
    total_calls_in_response: int = 1
    arguments: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One entry of the log. `id` and `timestamp` are given by the EventStream."""

    KIND: ClassVar[str] = ""
    """Name on the wire, given as `class RunAction(Action, kind="run", says="…")`."""
    SAYS: ClassVar[str] = ""
    """The event in words, with its fields as `{0.field}`."""

    id: EventId = UNNUMBERED
    timestamp: datetime = EPOCH
    source: Source = Source.ENVIRONMENT
    cause: EventId | None = None
    """Of an observation: the action it answers. Of a restated action: the one it restates. Of a replayed one: where the
    replay begins."""
    message: str | None = None
    """Text for people where it differs from `describe()`."""
    tool_call_metadata: ToolCall | None = None
    llm_metrics: Mapping[str, Json] | None = None
    """Accumulated usage of the conversation, in the wire's form; on agent actions."""
    author: OwnerId | None = None
    """The id of the person who caused the event; None for what no person did."""
    turn: EventId | None = None
    """The turn that the event belongs to, by the id of the event that asked for it; None outside of turns."""
    agent_name: str | None = None
    """Of several agents of the conversation, the one whose turn it is, or whose prompt it is; None where there is one
    agent alone, and for what no turn has."""
    origin: str | None = None
    """Of a copy, in a fork or after a merge: the conversation and the event that it was first, as `ID#NUMBER`."""
    rest: Mapping[str, Json] = field(default_factory=dict)
    """Keys of the wire form that this version has no field for; kept and passed on."""

    def __init_subclass__(cls, kind: str = "", says: str = "") -> None:
        if kind:  # not when `slots` makes the class a second time, with what the first one has
            cls.KIND, cls.SAYS = kind, says

    def describe(self) -> str:
        """The event in words, for people."""
        return self.SAYS.format(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Action(Event):
    """Something asked for or done by user or agent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation(Event):
    """What came of an action."""

    content: str = ""

    def describe(self) -> str:
        return self.SAYS.format(self) if self.SAYS else self.content


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknown(Event):
    """An entry whose kind this version does not know: kept whole and passed on unchanged."""

    wire: Mapping[str, Json] = field(default_factory=dict)


def kinds_of(family: type[E], module: str, names: Mapping[str, object]) -> dict[str, type[E]]:
    """Kinds of a family by their KIND: those that a module defines. `names` are the module's variables."""
    kinds = [each for each in names.values() if isinstance(each, type) and issubclass(each, family)]
    return {kind.KIND: kind for kind in kinds if kind.__module__ == module}
