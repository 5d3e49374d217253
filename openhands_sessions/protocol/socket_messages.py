"""Messages over the socket other than events and commands, and the table of all that goes over it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, Field

from openhands_sessions.core.errors import SessionsError
from openhands_sessions.core.events.codec import timestamp_text
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.json_text import read_json
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.gateway import Delta, EndReason, Status
from openhands_sessions.protocol.commands import COMMAND_MODELS, MessageIn
from openhands_sessions.protocol.errors import Acknowledgement, BareError
from openhands_sessions.protocol.lists import ListChangeOut, ListOut, MarkReadIn, RenewListIn
from openhands_sessions.protocol.operators import (
    CLOSE,
    DRAIN,
    SET_LIMITS,
    STOP,
    UNDRAIN,
    CloseSessionIn,
    DrainIn,
    OperatorOverview,
    OperatorStatus,
    SetLimitsIn,
    StopTurnIn,
    UndrainIn,
)
from openhands_sessions.protocol.payloads import Message, Payload

PROTOCOL: Final = 2
RELOAD = "A part of this conversation was taken back, or another branch of it was chosen: reload the page to see it."


class SocketJson:
    """What python-socketio needs of a JSON module. orjson writes what orjson has read as it was."""

    @staticmethod
    def dumps(value: object, **options: object) -> str:
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str | bytes, **options: object) -> Any:
        return read_json(text)


class AuthIn(Payload):
    """The `auth` payload of Socket.IO; the query may have the same keys. With protocol 2, and neither a
    `conversation_id` nor `create`, the connection is to the list of the caller's conversations."""

    protocol: int = 1
    conversation_id: str | None = None
    after: int | None = Field(None, ge=-1)
    epoch: str | None = None
    create: bool | dict[str, Any] = False
    session_api_key: str | None = None


class AuthenticateIn(Payload):
    """A newer token of the same user: the connection goes on until that one lapses. Another user's is refused, and
    changes nothing."""

    token: Annotated[str, Field(min_length=1)]


class ConnectionLimits(Message):
    """What one connection may send: bytes of a message, commands a second. A larger message is refused as `too_large`,
    or, from twice as large, ends the connection with 1009."""

    message_bytes: int
    messages_per_second: float | None = None


class Hello(Message):
    """The first packet of protocol 2. `head` is the id of the newest event; `epoch` identifies this log.
    `chain` are the ranges of events that the dialogue on `branch` consists of, up to `head`: all others were taken
    back. It is null where the log is still being read. `model` is what answers; null where that is not known yet, and
    for an agent without a model."""

    protocol: Literal[2]
    server_version: str
    conversation_id: str
    head: int
    epoch: str
    limits: ConnectionLimits
    chain: list[tuple[int, int]] | None = None
    branch: str | None = None
    model: str | None = None


class Resync(Message):
    """Your last id is not valid here: continue after event `after`. `epoch`, `cursor_beyond_head`: all events follow,
    from 0. `slow_consumer`: you read too slowly and are disconnected; connect again."""

    reason: Literal["epoch", "cursor_beyond_head", "slow_consumer"]
    after: int


class Ended(Message):
    """The session has ended: `stopped`, `deleted`, `shutdown`, `idle` or `failed`. It follows the last event. Or this
    connection ends, and the session lives on: your token or link has `expired`, or what let you in was `revoked`."""

    reason: EndReason | Lapse


class StatusUpdate(Message):
    """A status, which is not stored. With `conversation_title`, `message` is the conversation's id. With `source` and
    `timestamp`, it says why a V0 client's command was refused: that client's banner needs both."""

    status_update: Literal[True]
    type: Literal["info", "error"]
    id: str | None = None
    source: Literal["environment"] | None = None
    message: str
    timestamp: str | None = None
    conversation_title: str | None = None

    @classmethod
    def of(cls, status: Status, conversation: str) -> "StatusUpdate":
        """As the V0 client knows it."""
        if status.title is None:
            return cls(status_update=True, type=status.level, id=status.id, message=status.message)
        return cls(status_update=True, type="info", message=conversation, conversation_title=status.title)

    @classmethod
    def refusing(cls, error: SessionsError, at: datetime) -> "StatusUpdate":
        return cls(
            status_update=True,
            type="error",
            id="STATUS$ERROR",
            source="environment",
            message=error.message,
            timestamp=timestamp_text(at),
        )

    @classmethod
    def reload(cls, at: datetime) -> "StatusUpdate":
        """What a V0 client is told when a part of what it shows was taken back: its banner needs `source` and
        `timestamp`."""
        return cls(
            status_update=True,
            type="error",
            id="STATUS$ERROR",
            source="environment",
            message=RELOAD,
            timestamp=timestamp_text(at),
        )

    def status(self) -> Status:
        return Status(self.type, self.id, self.message, title=self.conversation_title)


class DeltaOut(Message):
    """A piece of text that is not complete yet, every 20 to 50 ms: of a `reply`, of the `thought`s before it, or of the
    `output` of the command of action `key`."""

    kind: Literal["reply", "output", "thought"]
    key: str
    offset: int
    text: str
    restart: bool = False

    @staticmethod
    def of(delta: Delta) -> dict[str, Json]:
        """Built without validation: many go out."""
        wire: dict[str, Json] = {"kind": delta.kind, "key": delta.key, "offset": delta.offset, "text": delta.text}
        return {**wire, "restart": True} if delta.restart else wire

    def delta(self) -> Delta:
        return Delta(self.kind, self.key, self.offset, self.text, self.restart)


Channel = Literal["/", "/operator"]
AUTHENTICATE = "authenticate"
MARK_READ = "mark_read"
RENEW_LIST = "renew_list"
EVENT = "Event"
"""Stands in the table for a stored event, whose schema is that of its kind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SocketEvent:
    """One row: an event that the server or a client emits, with its one argument. `many`: an array of them. `answer` is
    the acknowledgement."""

    name: str
    channel: Channel
    sender: Literal["server", "client"]
    payloads: tuple[type[BaseModel] | str, ...]
    many: bool = False
    answer: type[BaseModel] | None = None


def _sent(name: str, *payloads: type[BaseModel] | str, channel: Channel = "/") -> SocketEvent:
    return SocketEvent(name=name, channel=channel, sender="server", payloads=payloads, many=name == "oh_events")


def _taken(name: str, *payloads: type[BaseModel], channel: Channel = "/") -> SocketEvent:
    return SocketEvent(name=name, channel=channel, sender="client", payloads=payloads, answer=Acknowledgement)


SOCKET_EVENTS = (
    _sent("hello", Hello),
    _sent("oh_event", EVENT, StatusUpdate, BareError),
    _sent("oh_events", EVENT),
    _sent("oh_delta", DeltaOut),
    _sent("resync", Resync),
    _sent("ended", Ended),
    _taken("oh_user_action", *COMMAND_MODELS),
    _taken("oh_action", *COMMAND_MODELS),
    _taken(AUTHENTICATE, AuthenticateIn),
    _taken(MARK_READ, MarkReadIn),
    _sent("list", ListOut),
    _sent("list_change", ListChangeOut),
    _taken(RENEW_LIST, RenewListIn),
    _sent("sessions", OperatorOverview, channel="/operator"),
    _sent("session", OperatorStatus, channel="/operator"),
    _sent("ended", Ended, channel="/operator"),
    _taken(AUTHENTICATE, AuthenticateIn, channel="/operator"),
    _taken(STOP, StopTurnIn, channel="/operator"),
    _taken(CLOSE, CloseSessionIn, channel="/operator"),
    _taken(SET_LIMITS, SetLimitsIn, channel="/operator"),
    _taken(DRAIN, DrainIn, channel="/operator"),
    _taken(UNDRAIN, UndrainIn, channel="/operator"),
)
COMMANDS = tuple(event.name for event in SOCKET_EVENTS if MessageIn in event.payloads)


def epoch_of(created_at: datetime) -> str:
    """Names one incarnation of a conversation's log: a cursor of another one means nothing."""
    return f"{int(created_at.timestamp() * 1_000_000):x}"
