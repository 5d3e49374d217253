"""One JSON schema for all that goes over the socket, both ways."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from openhands_sessions.core.events.schema import PLACE, Schema, event_schemas
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
    """The first packet of protocol 2."""

    protocol: Literal[2]
    server_version: str
    conversation_id: str
    head: int
    epoch: str
    limits: dict[str, Any]


class Resync(BaseModel):
    """The cursor could not be kept: go on behind event `after`."""

    reason: str
    after: int


class Ended(BaseModel):
    """The session closed."""

    reason: Literal["stopped", "deleted", "shutdown", "idle", "failed"]


class DeltaOut(BaseModel):
    """A piece of a reply, or of the output of the command that action `key` runs."""

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


def _one_of(*names: str) -> Schema:
    return {"anyOf": [{"$ref": PLACE.format(model=name)} for name in names]}


def socket_schema(version: str) -> dict[str, Any]:
    """`server` and `client` say for each event of namespace `/` what its one argument is; `auth` and
    `acknowledgement` the rest."""
    models = (StatusUpdate, BareError, Hello, Resync, Ended, DeltaOut, Acknowledgement, AuthIn, MessageIn, StateIn)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "openhands-sessions over Socket.IO",
        "version": version,
        "server": {
            "oh_event": _one_of("Event", "StatusUpdate", "BareError"),
            "oh_events": {"type": "array", "items": _one_of("Event")},
            "oh_delta": _one_of("DeltaOut"),
            "hello": _one_of("Hello"),
            "resync": _one_of("Resync"),
            "ended": _one_of("Ended"),
        },
        "client": {name: _one_of("MessageIn", "StateIn") for name in ("oh_user_action", "oh_action")},
        "auth": _one_of("AuthIn"),
        "acknowledgement": _one_of("Acknowledgement"),
        "$defs": {**event_schemas(PLACE), **model_schemas(models, PLACE)},
    }
