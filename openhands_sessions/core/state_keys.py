"""Keys of a state with the prefixes that name its scope: `k`, `user:k`, `app:k`, `temp:k`."""

from typing import Literal, get_args

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.state_values import checked_key

StateKind = Literal["session", "user", "app", "temp"]
"""Whose state: that of the session, of its user, of the program; `temp` is that of the session in this process."""
StateAccess = Literal["off", "read", "write"]
"""What agents may do with states by their tool."""
KINDS: tuple[StateKind, ...] = get_args(StateKind)


def place_of(key: object) -> tuple[StateKind, str]:
    """The scope that a key's prefix names, and the key in it: `user:k`, `app:k`, `temp:k`; without one it is the
    session's. Raises BadInput."""
    text = checked_key(key)
    prefix, colon, rest = text.partition(":")
    for kind in KINDS:
        if colon and prefix == kind and kind != "session":
            if not rest:
                raise BadInput("key", f"must have a name after {text!r}")
            return kind, rest
    return "session", text


def named(kind: StateKind, key: str) -> str:
    """The key with its prefix."""
    return key if kind == "session" else f"{kind}:{key}"
