"""What operators are sent, and what they send."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import AgentState
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.operations import LimitChanges, ModelHealth, Overview, SessionLimits
from openhands_sessions.protocol.payloads import Message, Payload, Reply, Timestamp

Limit = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
SessionId = Annotated[str, Field(max_length=64)]
DRAIN, UNDRAIN = "drain", "undrain"
SET_LIMITS = "set_limits"
STOP, CLOSE = "stop", "close"


class OperatorStatus(Message):
    """One session after change `number`, for operators."""

    number: int
    conversation_id: str
    owner: str
    state: SessionState
    agent_state: AgentState
    head: int
    followers: int
    cost: float
    at: Timestamp
    problem: str | None


class ModelHealthOut(Reply):
    """Whether the operator's model answered at this time. `model` is null where none is configured; `cause` is a status
    id."""

    status: Literal["ok", "error"]
    model: str | None
    at: Timestamp
    seconds: float
    cause: str | None

    @classmethod
    def of(cls, health: ModelHealth) -> "ModelHealthOut":
        return cls(
            status="ok" if health.problem is None else "error",
            model=health.model,
            at=health.at,
            seconds=round(health.seconds, 3),
            cause=health.problem,
        )


class LimitsOut(Message):
    """How many sessions may be live: in all, of one user, from one address. Null where users are not told apart."""

    max_sessions: int
    max_sessions_per_user: int | None
    max_sessions_per_address: int | None


class OperatorOverview(Message):
    """All live sessions after change `number`, how many may be live, and whether the server is `draining`: then it
    begins no session. Sent first, and again when the limits or the draining change."""

    number: int
    sessions: Sequence[OperatorStatus]
    limits: LimitsOut
    draining: bool

    @classmethod
    def of(cls, overview: Overview, limits: SessionLimits, draining: bool) -> "OperatorOverview":
        statuses = [OperatorStatus.model_validate(each, from_attributes=True) for each in overview.sessions]
        told = LimitsOut(
            max_sessions=limits.total,
            max_sessions_per_user=limits.per_user,
            max_sessions_per_address=limits.per_address,
        )
        return cls(number=overview.number, sessions=statuses, limits=told, draining=draining)


class StopTurnIn(Payload):
    """The turn of this conversation is to end, as by its user's stop. Refused where no session is live."""

    conversation_id: SessionId


class CloseSessionIn(Payload):
    """The session of this conversation is to end. Refused where none is live."""

    conversation_id: SessionId


class SetLimitsIn(Payload):
    """So many sessions may be live from now on, until the server ends. Sessions that are live stay. Limits that are
    left out stay as they are; those of a user and of an address are refused where users are not told apart."""

    max_sessions: Limit | None = None
    max_sessions_per_user: Limit | None = None
    max_sessions_per_address: Limit | None = None

    def changes(self) -> LimitChanges:
        """Raises BadInput where nothing is given."""
        given = self.model_dump(exclude_none=True)
        if not given:
            raise BadInput(SET_LIMITS, f"must name at least one of {', '.join(type(self).model_fields)}")
        return LimitChanges(**given)


class DrainIn(Payload):
    """The server is to begin no session: readiness says so, and sessions that are live go on."""


class UndrainIn(Payload):
    """The server is to begin sessions again."""
