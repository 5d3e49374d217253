"""What a client may ask of a conversation's history. Each move may name what is left by `branch`."""

from dataclasses import dataclass

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, EventId


@dataclass(frozen=True, kw_only=True, slots=True)
class Undo:
    """Take the newest turn back."""

    branch: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GoBack:
    """Go on from another place, named in one way: before the user's message `message`, which opened a turn; after
    `event`, between two turns; or from a checkpoint."""

    message: EventId | None = None
    event: EventId | None = None
    checkpoint: str | None = None
    branch: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EditMessage:
    """Go back to before a message of the user's, which opened a turn, and say this in its place. Images and files of
    None are those of the old message."""

    message: EventId
    content: str
    image_urls: tuple[str, ...] | None = None
    file_urls: tuple[str, ...] | None = None
    branch: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Regenerate:
    """Take the newest turn back, and say the same again."""

    branch: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SwitchBranch:
    """Go on at the end of another branch."""

    branch: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateCheckpoint:
    """Name the end of the newest turn, also where that still runs."""

    name: str
    description: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeleteBranch:
    """Take a branch's name away, where the dialogue is not on it; what was said on it stays in the log."""

    branch: str


@dataclass(frozen=True, slots=True)
class Compact:
    """Have the older part of the dialogue summed up now."""


@dataclass(frozen=True, slots=True)
class Seed:
    """Have messages of an earlier conversation, in OpenAI's chat form, summed up for the agent to go on from."""

    messages: tuple[Json, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    """Go on with the turns of this dialogue and of another one that began alike: that of another conversation, or of a
    branch, by default the one that it is on. `left` names what is left."""

    conversation: ConversationId | None = None
    branch: str | None = None
    left: str | None = None


HistoryMove = Undo | GoBack | EditMessage | Regenerate | SwitchBranch | Merge
NamingCommand = CreateCheckpoint | DeleteBranch
"""What changes names, and moves nothing."""
HistoryCommand = HistoryMove | NamingCommand | Compact | Seed
