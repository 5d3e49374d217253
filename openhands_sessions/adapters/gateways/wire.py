"""What goes to another server and comes from it, as our own types. A wrong shape raises Unreadable."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast, get_args

import orjson

from openhands_sessions.core.commands import Answer, Command, Pause, Resume, SendMessage, Stop
from openhands_sessions.core.errors import (
    AlreadyExists,
    AtCapacity,
    BadInput,
    NotAccepting,
    NotFound,
    RateLimited,
    SessionsError,
    StorageUnavailable,
    TooLarge,
    Unauthorized,
    Unreachable,
)
from openhands_sessions.core.events.codec import SCHEMA, Stored
from openhands_sessions.core.events.event import AgentState, Json
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId, OwnerId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.gateway import Accepted, Delta, EndReason, SessionInfo, Status

_PLAIN: Mapping[str, Callable[[str], SessionsError]] = {
    kind.code: kind for kind in (AlreadyExists, AtCapacity, NotAccepting, StorageUnavailable, TooLarge, Unauthorized)
}


class UnreadableMessage(Unreachable):
    """It answers, but not in our protocol."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the server sends {what} that cannot be read; is it an openhands-sessions server?")


class OrjsonModule:
    """What python-socketio needs of a JSON module. orjson writes what orjson has read as it was."""

    @staticmethod
    def dumps(value: object, **options: object) -> str:
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str | bytes, **options: object) -> Any:
        return orjson.loads(text)


def command_wire(command: Command, key: str) -> dict[str, Json]:
    """A command as `oh_user_action` takes it."""
    match command:
        case SendMessage(content=content, image_urls=images, file_urls=files):
            args: dict[str, Json] = {"content": content, "image_urls": list(images), "file_urls": list(files)}
            return {"action": "message", "args": args, "key": key}
        case Stop():
            args = {"agent_state": "stopped"}
        case Pause():
            args = {"agent_state": "paused"}
        case Resume():
            args = {"agent_state": "running"}
        case Answer(confirmed=confirmed, action=action):
            args = {"agent_state": "user_confirmed" if confirmed else "user_rejected", "id": action}
    return {"action": "change_agent_state", "args": args, "key": key}


def accepted(answer: object) -> Accepted:
    """The acknowledgement of a command. Raises what the server refused it with."""
    match answer:
        case {"ok": True, "id": int(number)}:
            return Accepted(EventId(number))
        case {"ok": False}:
            raise refusal(answer)
        case _:
            raise UnreadableMessage("an acknowledgement")


def refusal(answer: object) -> SessionsError:
    """The error that an answer of the server stands for: `{"code", "message"}`, or a connect error with the code in
    `data`."""
    told = answer if isinstance(answer, dict) else {}
    data = told.get("data")
    code = str(told.get("code") or (data.get("code") if isinstance(data, dict) else None) or "")
    message = str(told.get("message") or told.get("detail") or "the server refused")
    match code:
        case NotFound.code:
            error: SessionsError = NotFound("conversation", "")
            error.message, error.args = message, (message,)
            return error
        case BadInput.code:
            field = str(told.get("field") or "")
            return BadInput(field or "the request", message.removeprefix(field).strip())
        case RateLimited.code:
            return RateLimited(message, retry_after=float(told.get("retry_after") or 1.0))
        case _:
            return _PLAIN.get(code, SessionsError)(message)


def stored_of(wire: object) -> Stored:
    """An event from the wire as it stands in the log."""
    match wire:
        case {"id": int(number), "action": kind}:
            return Stored(EventId(number), f"action:{kind}", SCHEMA, orjson.dumps(wire).decode())
        case {"id": int(number), "observation": kind}:
            return Stored(EventId(number), f"observation:{kind}", SCHEMA, orjson.dumps(wire).decode())
        case _:
            raise UnreadableMessage("an event")


def news_of(wire: Any) -> Sequence[Stored] | Status:
    """What `oh_event` carries: an event, a status update or a bare error."""
    match wire:
        case {"status_update": True, "conversation_title": str(title)}:
            return Status("info", None, str(wire.get("message") or ""), title=title)
        case {"status_update": True}:
            name, message = wire.get("id"), wire.get("message")
            return Status(
                "error" if wire.get("type") == "error" else "info",
                None if name is None else str(name),
                str(message or ""),
            )
        case {"error": True, "message": message}:
            return Status("error", str(wire.get("code") or "") or None, str(message))
        case _:
            return [stored_of(wire)]


def delta_of(wire: Any) -> Delta:
    """What `oh_delta` carries."""
    match wire:
        case {"kind": "reply" | "output" as kind, "key": str(key), "offset": int(offset), "text": str(text)}:
            return Delta(kind, key, offset, text, restart=wire.get("restart") is True)
        case _:
            raise UnreadableMessage("a delta")


def end_of(wire: object) -> EndReason:
    """What `ended` carries."""
    match wire:
        case {"reason": reason} if reason in get_args(EndReason):
            return cast(EndReason, reason)
        case _:
            raise UnreadableMessage("an end")


def info_of(wire: object) -> SessionInfo:
    """ConversationInfo, with `session` where the server is ours."""
    if not isinstance(wire, dict):
        raise UnreadableMessage("a conversation")
    session = wire.get("session")
    own: Mapping[str, Any] = session if isinstance(session, dict) else {}
    try:
        return SessionInfo(
            id=ConversationId(str(wire["conversation_id"])),
            owner=OwnerId(str(own.get("owner") or LOCAL_OWNER)),
            title=str(wire["title"]),
            created_at=datetime.fromisoformat(wire["created_at"]),
            updated_at=datetime.fromisoformat(wire["last_updated_at"]),
            trigger=str(wire.get("trigger") or ""),
            state=SessionState(own["state"]) if own.get("state") else None,
            agent_state=AgentState(own["agent_state"]) if own.get("agent_state") else None,
            runtime_status=own.get("runtime_status", wire.get("runtime_status")),
            head=EventId(int(own.get("head", -1))),
            last_state=EventId(int(own.get("last_state", -1))),
            followers=int(wire.get("num_connections") or 0),
            problem=own.get("problem"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableMessage("a conversation") from error
