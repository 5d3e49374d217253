"""One JSON schema for all that goes over the socket, both ways."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from openhands_sessions.core.events.event import AgentState
from openhands_sessions.core.events.schema import PLACE, Schema, event_schemas
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.server.schema.document import model_schemas
from openhands_sessions.server.wire import AuthIn, MessageIn, StateIn


class StatusUpdate(BaseModel):
    """News that is not stored. With `conversation_title`, `message` is the conversation's id."""

    status_update: Literal[True]
    type: Literal["info", "error"]
    id: str | None = None
    message: str
    conversation_title: str | None = None


class BareError(BaseModel):
    """What was wrong with a command, for a V0 client."""

    error: Literal[True]
    message: str
    code: str


class Hello(BaseModel):
    """The first packet of protocol 2: `head` is the newest id, `epoch` names this log."""

    protocol: Literal[2]
    server_version: str
    conversation_id: str
    head: int
    epoch: str
    limits: dict[str, Any]


class Resync(BaseModel):
    """The cursor could not be kept: go on behind event `after`. `epoch`, `cursor_beyond_head`: all follows from 0;
    `slow_consumer`: you were cut, connect again."""

    reason: Literal["epoch", "cursor_beyond_head", "slow_consumer"]
    after: int


class Ended(BaseModel):
    """The session is over: `stopped`, `deleted`, `shutdown`, `idle` or `failed`. Comes behind its last event."""

    reason: Literal["stopped", "deleted", "shutdown", "idle", "failed"]


class DeltaOut(BaseModel):
    """A piece of a `reply`, or of the `output` of the command that action `key` runs; every 20 to 50 ms."""

    kind: Literal["reply", "output"]
    key: str
    offset: int
    text: str
    restart: bool = False


class Acknowledgement(BaseModel):
    """The answer to a command that asks for one: `id` of its first event, or what was wrong."""

    model_config = ConfigDict(extra="forbid")

    ok: bool
    id: int | None = None
    code: str | None = None
    message: str | None = None
    field: str | None = None
    retry_after: float | None = None


class Reason(BaseModel):
    """`data` of a refusal."""

    code: str


class Refusal(BaseModel):
    """The connect error of a connection that is refused."""

    message: str
    data: Reason


class OperatorStatus(BaseModel):
    """One session as operators see it, as of change `number`."""

    number: int
    conversation_id: str
    owner: str
    state: SessionState
    agent_state: AgentState
    head: int
    followers: int
    cost: float
    at: str
    problem: str | None


class OperatorOverview(BaseModel):
    """All live sessions as of change `number`."""

    number: int
    sessions: list[OperatorStatus]


MODELS = (
    *(StatusUpdate, BareError, Hello, Resync, Ended, DeltaOut, Acknowledgement, Refusal),
    *(OperatorOverview, OperatorStatus, AuthIn, MessageIn, StateIn),
)


def _one_of(*names: str) -> Schema:
    return {"anyOf": [{"$ref": PLACE.format(model=name)} for name in names]}


def socket_schema(version: str) -> dict[str, Any]:
    """`server` and `client` say for each event of namespace `/` what its one argument is, `operators` those of
    `/operator`; `auth`, `refusal` and `acknowledgement` the rest."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "openhands-sessions over Socket.IO",
        "version": version,
        "server": {
            "hello": _one_of("Hello"),
            "oh_event": _one_of("Event", "StatusUpdate", "BareError"),
            "oh_events": {"type": "array", "items": _one_of("Event")},
            "oh_delta": _one_of("DeltaOut"),
            "resync": _one_of("Resync"),
            "ended": _one_of("Ended"),
        },
        "client": {name: _one_of("MessageIn", "StateIn") for name in ("oh_user_action", "oh_action")},
        "operators": {"sessions": _one_of("OperatorOverview"), "session": _one_of("OperatorStatus")},
        "auth": _one_of("AuthIn"),
        "refusal": _one_of("Refusal"),
        "acknowledgement": _one_of("Acknowledgement"),
        "$defs": {**event_schemas(PLACE), **model_schemas(MODELS, PLACE)},
    }
