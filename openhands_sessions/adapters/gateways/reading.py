"""Reads what another server sends, by the protocol's models."""

from collections.abc import Sequence
from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from openhands_sessions.core.errors import Unreachable
from openhands_sessions.core.events.codec import SCHEMA, Stored
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.gateway import Accepted, SessionInfo, Status
from openhands_sessions.protocol.conversations import ConversationOut
from openhands_sessions.protocol.errors import Acknowledgement, BareError, error_of
from openhands_sessions.protocol.socket_messages import StatusUpdate

M = TypeVar("M", bound=BaseModel)


class UnreadableMessage(Unreachable):
    """The server answers, but not in our protocol."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the server sends {what} that cannot be read; is it an openhands-sessions server?")


def read(kind: type[M], wire: object, what: str) -> M:
    """`wire` as `kind`; keys of a newer server are ignored. Raises UnreadableMessage that names `what`."""
    try:
        return kind.model_validate(wire, extra="ignore")
    except ValidationError as error:
        raise UnreadableMessage(what) from error


def accepted(answer: object) -> Accepted:
    """The acknowledgement of a command. Raises what the server refused it with, and UnreadableMessage."""
    acknowledgement = read(Acknowledgement, answer, "an acknowledgement")
    if not acknowledgement.ok:
        raise error_of(answer)
    if acknowledgement.id is None:
        raise UnreadableMessage("an acknowledgement")
    turn = acknowledgement.turn
    return Accepted(EventId(acknowledgement.id), None if turn is None else EventId(turn))


def stored_of(wire: object) -> Stored:
    """An event from the wire as it stands in the log. Raises UnreadableMessage."""
    match wire:
        case {"id": int(number), "action": kind}:
            return Stored(EventId(number), f"action:{kind}", SCHEMA, orjson.dumps(wire).decode())
        case {"id": int(number), "observation": kind}:
            return Stored(EventId(number), f"observation:{kind}", SCHEMA, orjson.dumps(wire).decode())
        case _:
            raise UnreadableMessage("an event")


def news_of(wire: object) -> Sequence[Stored] | Status:
    """What `oh_event` carries: an event, a status update or a bare error. Raises UnreadableMessage."""
    if isinstance(wire, dict) and wire.get("status_update"):
        return read(StatusUpdate, wire, "a status update").status()
    if isinstance(wire, dict) and wire.get("error"):
        error = read(BareError, wire, "an error")
        return Status("error", error.code or None, error.message)
    return [stored_of(wire)]


def info_of(wire: object) -> SessionInfo:
    """A conversation. Raises UnreadableMessage."""
    conversation = read(ConversationOut, wire, "a conversation")
    try:
        return conversation.info()
    except ValueError as error:
        raise UnreadableMessage("a conversation") from error
