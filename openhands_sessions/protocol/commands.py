"""Commands of a client, over the socket and over REST, in both directions."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from openhands_sessions.core.commands import Answer, Command, Pause, Resume, SendMessage, Stop
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.settings import bad_input
from openhands_sessions.protocol.images import ImageUrl
from openhands_sessions.protocol.payloads import Message, Text

Key = Annotated[str, Field(min_length=1, max_length=128)]


class MessageArgs(Message):
    """`args` of a `message`; other keys, such as the client's own timestamp, are ignored."""

    content: Text
    image_urls: list[ImageUrl] | None = Field(None, max_length=32)
    file_urls: list[str] | None = Field(None, max_length=256)


class StateArgs(Message):
    """`args` of a `change_agent_state`; `id` names the action that is answered."""

    agent_state: Literal["stopped", "paused", "running", "user_confirmed", "user_rejected"]
    id: int | None = Field(None, strict=True)


class MessageIn(Message):
    """A `message` from a client."""

    action: Literal["message"]
    args: MessageArgs
    key: Key | None = None


class StateIn(Message):
    """A `change_agent_state` from a client."""

    action: Literal["change_agent_state"]
    args: StateArgs
    key: Key | None = None


CommandIn = Annotated[MessageIn | StateIn, Field(discriminator="action")]
_READER: TypeAdapter[MessageIn | StateIn] = TypeAdapter(CommandIn)
_COMMANDS: Mapping[str, Command] = {
    "stopped": Stop(),
    "paused": Pause(),
    "running": Resume(),
    "user_confirmed": Answer(confirmed=True),
    "user_rejected": Answer(confirmed=False),
}
_STATES: Mapping[Command, str] = {command: state for state, command in _COMMANDS.items()}


def command_of(data: object) -> tuple[Command, str | None]:
    """The command that a client sent, and its key. Raises BadInput that names the field."""
    if not isinstance(data, dict):
        raise BadInput("the command", "must be an object with `action` and `args`")
    try:
        given = _READER.validate_python(data)
    except ValidationError as error:
        raise _problem(error) from None
    args = given.args
    if isinstance(args, MessageArgs):
        images, files = tuple(args.image_urls or ()), tuple(args.file_urls or ())
        return SendMessage(content=args.content, image_urls=images, file_urls=files), given.key
    command = _COMMANDS[args.agent_state]
    if isinstance(command, Answer) and args.id is not None:
        command = Answer(confirmed=command.confirmed, action=EventId(args.id))
    return command, given.key


def command_wire(command: Command, key: str) -> dict[str, Json]:
    """A command as a client sends it. Built without validation: the server validates it."""
    match command:
        case SendMessage(content=content, image_urls=images, file_urls=files):
            args: dict[str, Json] = {"content": content, "image_urls": list(images), "file_urls": list(files)}
            return {"action": "message", "args": args, "key": key}
        case Answer(confirmed=confirmed, action=action):
            args = {"agent_state": _STATES[Answer(confirmed=confirmed)], "id": action}
        case _:
            args = {"agent_state": _STATES[command]}
    return {"action": "change_agent_state", "args": args, "key": key}


def _problem(error: ValidationError) -> BadInput:
    kind = error.errors(include_url=False, include_input=False)[0]["type"]
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return BadInput("action", "must be `message` or `change_agent_state`")
    return bad_input(error, "the payload", skipped=1)  # the action's name comes first
