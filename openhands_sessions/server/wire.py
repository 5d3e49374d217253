"""What comes in and goes out at the edge: payload models, and the wire form of what is not an event."""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from openhands_sessions.core.commands import Answer, Command, Pause, Resume, SendMessage, Stop
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.codec import timestamp_text
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.lifecycle import SET_UP, SessionState
from openhands_sessions.ports.gateway import Delta, SessionInfo, Status
from openhands_sessions.server.statuses import v0_status
from openhands_sessions.service.status_board import Overview, SessionStatus

P = TypeVar("P", bound=BaseModel)
Text = Annotated[str, Field(max_length=1_000_000)]


class Payload(BaseModel):
    """A body or an argument from outside: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MessageArgs(BaseModel):
    """`args` of a `message`; other keys, such as the client's own timestamp, are passed over."""

    content: Text
    image_urls: list[str] | None = Field(None, max_length=32)
    file_urls: list[str] | None = Field(None, max_length=256)


class StateArgs(BaseModel):
    """`args` of a `change_agent_state`; `id` names the action that is answered."""

    agent_state: Literal["stopped", "paused", "running", "user_confirmed", "user_rejected"]
    id: int | None = Field(None, strict=True)


class MessageIn(BaseModel):
    """A `message` from a client."""

    action: Literal["message"]
    args: MessageArgs
    key: str | None = Field(None, min_length=1, max_length=128)


class StateIn(BaseModel):
    """A `change_agent_state` from a client."""

    action: Literal["change_agent_state"]
    args: StateArgs
    key: str | None = Field(None, min_length=1, max_length=128)


_ACTION: TypeAdapter[MessageIn | StateIn] = TypeAdapter(Annotated[MessageIn | StateIn, Field(discriminator="action")])


class RenameIn(Payload):
    """Body of `PATCH /api/conversations/{id}`."""

    title: str = Field(min_length=1, max_length=200)


class StartIn(Payload):
    """Body of `POST /api/conversations/{id}/start`."""

    providers_set: list[str] | None = None


class AuthIn(BaseModel):
    """The Socket.IO `auth` payload, or the same keys in the query."""

    protocol: int = 1
    conversation_id: str | None = None
    after: int | None = Field(None, ge=-1)
    epoch: str | None = None
    create: bool | dict[str, Any] = False
    session_api_key: str | None = None


def command_of(data: object) -> tuple[Command, str | None]:
    """The command that a client sent, and its key. Raises BadInput that names the field."""
    if not isinstance(data, dict):
        raise BadInput("the command", "must be an object with `action` and `args`")
    try:
        given = _ACTION.validate_python(data)
    except ValidationError as error:
        raise _bad(error, below=1) from None  # what comes first is the action's name
    if isinstance(given, MessageIn):
        return _message(given.args), given.key
    return _state_command(given.args), given.key


def _message(args: MessageArgs) -> Command:
    return SendMessage(
        content=args.content, image_urls=tuple(args.image_urls or ()), file_urls=tuple(args.file_urls or ())
    )


def _state_command(args: StateArgs) -> Command:
    action = None if args.id is None else EventId(args.id)
    match args.agent_state:
        case "stopped":
            return Stop()
        case "paused":
            return Pause()
        case "running":
            return Resume()
        case "user_confirmed" | "user_rejected" as answer:
            return Answer(confirmed=answer == "user_confirmed", action=action)


def checked(kind: type[P], value: object) -> P:
    """`value` as `kind`. Raises BadInput that names the field."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise _bad(error) from None


def _bad(error: ValidationError, below: int = 0) -> BadInput:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return BadInput("action", "must be `message` or `change_agent_state`")
    place = ".".join(str(part) for part in first["loc"][below:])
    return BadInput(place or "the payload", f"is wrong: {first['msg']}")


def status_wire(status: Status, conversation: str) -> dict[str, Json]:
    """A status update, as the V0 client knows it."""
    if status.title is not None:
        return {
            "status_update": True,
            "type": "info",
            "message": conversation,
            "conversation_title": status.title,
        }
    return {"status_update": True, "type": status.level, "id": status.id, "message": status.message}


def delta_wire(delta: Delta) -> dict[str, Json]:
    """`oh_delta`: a piece of a reply (`kind` reply) or of the output of the command that action `key` runs."""
    wire: dict[str, Json] = {"kind": delta.kind, "key": delta.key, "offset": delta.offset, "text": delta.text}
    return {**wire, "restart": True} if delta.restart else wire


def error_wire(message: str, code: str) -> dict[str, Json]:
    """A bare error."""
    return {"error": True, "message": message, "code": code}


def conversation_status(state: SessionState | None) -> str:
    """The conversation's `status`, by which the V0 client decides whether to open its socket. It must where a session
    has failed: only there does it hear of the reason, and can it have the session built anew."""
    if state in SET_UP or state is SessionState.CREATED:
        return "STARTING"
    if state in (SessionState.READY, SessionState.RUNNING, SessionState.ERROR):
        return "RUNNING"
    return "STOPPED"


def conversation_wire(info: SessionInfo) -> dict[str, Json]:
    """ConversationInfo, with what the V0 client does not know in `session`."""
    return {
        "conversation_id": info.id,
        "title": info.title,
        "last_updated_at": timestamp_text(info.updated_at),
        "status": conversation_status(info.state),
        "runtime_status": None if info.runtime_status is None else v0_status(info.runtime_status),
        "selected_repository": info.repository,
        "selected_branch": info.branch,
        "git_provider": info.git_provider,
        "trigger": info.trigger,
        "num_connections": info.followers,
        "url": None if info.state is None else f"/api/conversations/{info.id}",
        "session_api_key": None,
        "created_at": timestamp_text(info.created_at),
        "pr_number": [],
        "conversation_version": "V0",
        "session": {
            "owner": info.owner,
            "state": info.state,
            "agent_state": info.agent_state,
            "runtime_status": info.runtime_status,
            "head": info.head,
            "last_state": info.last_state,
            "problem": info.problem,
        },
    }


def operator_wire(status: SessionStatus) -> dict[str, Json]:
    """One session as operators see it."""
    return {
        "number": status.number,
        "conversation_id": status.conversation_id,
        "owner": status.owner,
        "state": status.state.value,
        "agent_state": status.agent_state.value,
        "head": status.head,
        "followers": status.followers,
        "cost": status.cost,
        "at": timestamp_text(status.at),
        "problem": status.problem,
    }


def overview_wire(overview: Overview) -> dict[str, Json]:
    """All sessions as of change `number`."""
    return {"number": overview.number, "sessions": [operator_wire(status) for status in overview.sessions]}


def epoch_of(created_at: datetime) -> str:
    """Names one incarnation of a conversation's log: a cursor of another one means nothing."""
    return f"{int(created_at.timestamp() * 1_000_000):x}"
