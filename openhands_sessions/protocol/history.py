"""Commands of the history, as clients send them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.history_commands import (
    Compact,
    CreateCheckpoint,
    DeleteBranch,
    EditMessage,
    GoBack,
    HistoryCommand,
    Merge,
    Regenerate,
    Seed,
    SwitchBranch,
    Undo,
)
from openhands_sessions.core.ids import EventId, conversation_id
from openhands_sessions.core.seeding import MOST_MESSAGES
from openhands_sessions.protocol.images import ImageUrl
from openhands_sessions.protocol.payloads import Message, Text

Key = Annotated[str, Field(min_length=1, max_length=128)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
EventNumber = Annotated[int, Field(strict=True)]


class NoArgs(Message):
    """`args` of a command that takes none."""


class LeavingArgs(Message):
    """`args` of `undo` and `regenerate`; `branch` names what is left."""

    branch: Name | None = None


class MoveArgs(LeavingArgs):
    """`args` of a `move`: before the user's `message`, after `event`, or to a `checkpoint`; exactly one of them."""

    message: EventNumber | None = None
    event: EventNumber | None = None
    checkpoint: Name | None = None


class EditArgs(LeavingArgs):
    """`args` of an `edit`: `message` is the one in whose place this is said. Without images or files it has those of
    the old one."""

    message: EventNumber
    content: Text
    image_urls: list[ImageUrl] | None = Field(None, max_length=32)
    file_urls: list[str] | None = Field(None, max_length=256)


class SwitchArgs(Message):
    """`args` of a `switch`, and of a `delete_branch`."""

    branch: Name


class MergeArgs(Message):
    """`args` of a `merge`: another `conversation`, a `branch`, or a branch of the other conversation; `left` names what
    is left."""

    conversation: str | None = None
    branch: Name | None = None
    left: Name | None = None


class CheckpointArgs(Message):
    """`args` of a `checkpoint`."""

    name: Name
    description: str = Field("", max_length=1_000)


class UndoIn(Message):
    """Takes the newest turn back."""

    action: Literal["undo"]
    args: LeavingArgs = LeavingArgs()
    key: Key | None = None


class MoveIn(Message):
    """Goes on from another place."""

    action: Literal["move"]
    args: MoveArgs
    key: Key | None = None


class EditIn(Message):
    """Goes back to before a message, and says something else in its place."""

    action: Literal["edit"]
    args: EditArgs
    key: Key | None = None


class RegenerateIn(Message):
    """Takes the newest turn back, and says the same again."""

    action: Literal["regenerate"]
    args: LeavingArgs = LeavingArgs()
    key: Key | None = None


class SwitchIn(Message):
    """Goes on at the end of another branch."""

    action: Literal["switch"]
    args: SwitchArgs
    key: Key | None = None


class MergeIn(Message):
    """Goes on with the turns of this dialogue and of another one that began alike."""

    action: Literal["merge"]
    args: MergeArgs
    key: Key | None = None


class CheckpointIn(Message):
    """Names the end of the newest turn."""

    action: Literal["checkpoint"]
    args: CheckpointArgs
    key: Key | None = None


class DeleteBranchIn(Message):
    """Takes the name of another branch away."""

    action: Literal["delete_branch"]
    args: SwitchArgs
    key: Key | None = None


class CompactIn(Message):
    """Has the older part of the dialogue summed up now."""

    action: Literal["compact"]
    args: NoArgs = NoArgs()
    key: Key | None = None


class SeedArgs(Message):
    """`args` of a `seed`: messages in OpenAI's chat form. What has another form is dropped and counted."""

    messages: list[Any] = Field(min_length=1, max_length=MOST_MESSAGES)


class SeedIn(Message):
    """Has messages of an earlier conversation summed up, for the agent to go on from."""

    action: Literal["seed"]
    args: SeedArgs
    key: Key | None = None


HISTORY_MODELS = (
    UndoIn,
    MoveIn,
    EditIn,
    RegenerateIn,
    SwitchIn,
    MergeIn,
    CheckpointIn,
    DeleteBranchIn,
    CompactIn,
    SeedIn,
)
HistoryModel = (
    UndoIn | MoveIn | EditIn | RegenerateIn | SwitchIn | MergeIn | CheckpointIn | DeleteBranchIn | CompactIn | SeedIn
)
HistoryIn = Annotated[HistoryModel, Field(discriminator="action")]
HISTORY_ACTIONS = (
    "undo",
    "move",
    "edit",
    "regenerate",
    "switch",
    "merge",
    "checkpoint",
    "delete_branch",
    "compact",
    "seed",
)


def history_command(given: HistoryModel) -> HistoryCommand:
    """The command that was sent."""
    match given:
        case UndoIn(args=args) | RegenerateIn(args=args):
            return (Undo if isinstance(given, UndoIn) else Regenerate)(branch=args.branch)
        case MoveIn(args=args):
            return GoBack(
                message=_event(args.message), event=_event(args.event), checkpoint=args.checkpoint, branch=args.branch
            )
        case EditIn(args=args):
            return EditMessage(
                message=EventId(args.message),
                content=args.content,
                image_urls=None if args.image_urls is None else tuple(args.image_urls),
                file_urls=None if args.file_urls is None else tuple(args.file_urls),
                branch=args.branch,
            )
        case SwitchIn(args=args):
            return SwitchBranch(branch=args.branch)
        case MergeIn(args=args):
            return _merge(args)
        case CheckpointIn(args=args):
            return CreateCheckpoint(name=args.name, description=args.description)
        case DeleteBranchIn(args=args):
            return DeleteBranch(branch=args.branch)
        case CompactIn():
            return Compact()
        case SeedIn(args=args):
            return Seed(messages=tuple(args.messages))


def _merge(args: MergeArgs) -> Merge:
    other = None if args.conversation is None else conversation_id(args.conversation)
    if other is None and args.branch is None:
        raise BadInput("conversation", "or `branch`, or both, must say what to merge")
    return Merge(conversation=other, branch=args.branch, left=args.left)


def history_wire(command: HistoryCommand, key: str) -> dict[str, Json]:
    """A command as a client sends it. Built without validation: the server validates it."""
    action, args = _parts(command)
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in args.items()}
    return {"action": action, "args": {name: value for name, value in given.items() if value is not None}, "key": key}


def _parts(command: HistoryCommand) -> tuple[str, Mapping[str, Any]]:
    match command:
        case Undo(branch=branch):
            return "undo", {"branch": branch}
        case Regenerate(branch=branch):
            return "regenerate", {"branch": branch}
        case GoBack(message=message, event=event, checkpoint=checkpoint, branch=branch):
            return "move", {"message": message, "event": event, "checkpoint": checkpoint, "branch": branch}
        case EditMessage(message=message, content=content, image_urls=images, file_urls=files, branch=branch):
            about = {"message": message, "content": content, "image_urls": images, "file_urls": files}
            return "edit", {**about, "branch": branch}
        case SwitchBranch(branch=branch) | DeleteBranch(branch=branch):
            return "switch" if isinstance(command, SwitchBranch) else "delete_branch", {"branch": branch}
        case Merge(conversation=conversation, branch=branch, left=left):
            return "merge", {"conversation": conversation, "branch": branch, "left": left}
        case CreateCheckpoint(name=name, description=description):
            return "checkpoint", {"name": name, "description": description}
        case Compact():
            return "compact", {}
        case Seed(messages=messages):
            return "seed", {"messages": messages}


def _event(number: int | None) -> EventId | None:
    return None if number is None else EventId(number)
