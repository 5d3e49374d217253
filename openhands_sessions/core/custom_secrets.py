"""What a custom secret may be called, and hold."""

import re

from openhands_sessions.core.errors import BadInput

LONGEST_VALUE = 16 * 1024
LONGEST_DESCRIPTION = 1_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OURS = re.compile(r"(?:OHS_|LD_|BASH)\w*|PATH|HOME|PWD|OLDPWD|SHELL|SHELLOPTS|IFS|ENV|PS[0-4]|PROMPT_COMMAND|TERM")


def check_name(name: str) -> str:
    """The name. Raises BadInput where no environment variable of a user's can have it."""
    if not _NAME.fullmatch(name):
        raise BadInput("name", "must be 1 to 128 letters, digits or '_', not beginning with a digit")
    if _OURS.fullmatch(name):
        raise BadInput("name", f"must not be {name!r}: the sandbox needs that variable for itself")
    return name


def check_value(value: str) -> str:
    """The value. Raises BadInput."""
    if not value or "\0" in value or len(value.encode("utf-8", "replace")) > LONGEST_VALUE:
        raise BadInput("value", f"must be 1 to {LONGEST_VALUE} bytes of text without NUL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadInput("value", "must be text that can be encoded as UTF-8") from None
    return value


def check_description(text: str) -> str:
    """The description. Raises BadInput."""
    if len(text) > LONGEST_DESCRIPTION:
        raise BadInput("description", f"must have at most {LONGEST_DESCRIPTION} characters")
    return text
