"""What may be done with a conversation by whom: its owner, and those whom the owner lets in."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from openhands_sessions.core.commands import (
    Answer,
    Command,
    Decide,
    EditQueued,
    GiveFeedback,
    Pause,
    RemoveQueued,
    Resume,
    SendMessage,
    SetBudget,
    SetModel,
    Stop,
)
from openhands_sessions.core.history_commands import (
    Compact,
    CreateCheckpoint,
    DeleteBranch,
    EditMessage,
    GoBack,
    Merge,
    Regenerate,
    Seed,
    SwitchBranch,
    Undo,
)

Lapse = Literal["expired", "revoked"]
"""Why a token, or what somebody was let in by, does not count any more."""


class Permission(StrEnum):
    """What a caller may do with one conversation; each covers those before it."""

    VIEW = "view"
    """Follow it, and read its events and files."""
    WRITE = "write"
    """Tell its session what to do, and upload files."""
    OWN = "own"
    """Delete, rename and share it, choose its model and its budget, have it spend more, and allow calls for good."""

    def covers(self, needed: "Permission") -> bool:
        return _ORDER.index(self) >= _ORDER.index(needed)


_ORDER = tuple(Permission)

COMMANDS: Mapping[type[Command], Permission] = {
    SendMessage: Permission.WRITE,
    EditQueued: Permission.WRITE,
    RemoveQueued: Permission.WRITE,
    Stop: Permission.WRITE,
    Pause: Permission.WRITE,
    Resume: Permission.WRITE,
    Answer: Permission.WRITE,
    Decide: Permission.WRITE,
    SetModel: Permission.OWN,
    GiveFeedback: Permission.WRITE,
    SetBudget: Permission.OWN,
    Undo: Permission.WRITE,
    GoBack: Permission.WRITE,
    EditMessage: Permission.WRITE,
    Regenerate: Permission.WRITE,
    SwitchBranch: Permission.WRITE,
    Merge: Permission.WRITE,
    CreateCheckpoint: Permission.WRITE,
    DeleteBranch: Permission.WRITE,
    Compact: Permission.WRITE,
    Seed: Permission.WRITE,
}
"""What each command needs, unless it makes a rule."""


def needed_for(command: Command, about: Literal["calls", "spending"] = "calls") -> Permission:
    """What a command needs, where an answer is asked for about calls or about spending. A rule that it makes outlives
    the call that it is about, and a yes to spending raises what the owner pays: these are the owner's. A no to it is
    less than a stop."""
    if _makes_a_rule(command) or (about == "spending" and _says_yes(command)):
        return Permission.OWN
    return COMMANDS[type(command)]


def _says_yes(command: Command) -> bool:
    match command:
        case Answer(confirmed=confirmed):
            return confirmed
        case Decide(decisions=decisions, rest=rest):
            return bool(rest) or any(each.approved for each in decisions)
        case _:
            return False


def _makes_a_rule(command: Command) -> bool:
    match command:
        case Answer(always=always):
            return always is not None
        case Decide(decisions=decisions):
            return any(each.always is not None for each in decisions)
        case _:
            return False
