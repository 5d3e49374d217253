"""What a custom secret may be called, and hold."""

import re
import unicodedata
from collections.abc import Mapping

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json

LONGEST_VALUE = 16 * 1024
LONGEST_DESCRIPTION = 1_000
MOST = 200
LONGEST_TOTAL = 24 * 1024
"""Bytes that the secrets of a user, or of a conversation, may have together: they stand in the environment of every
command."""
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
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text if letter not in "\t\n\r"):
        raise BadInput("description", "must not have control characters in it")
    return text


def check_together(secrets: Json) -> None:
    """Of one layer of settings, as it was given. Raises BadInput for more secrets than an environment can hold."""
    if not isinstance(secrets, Mapping):
        return
    total = sum(len(f"{name}{_value(secret)}".encode("utf-8", "replace")) for name, secret in secrets.items())
    if len(secrets) > MOST or total > LONGEST_TOTAL:
        raise BadInput("custom_secrets", f"must be at most {MOST}, of {LONGEST_TOTAL} bytes together")


def _value(secret: Json) -> str:
    found = secret.get("value") if isinstance(secret, Mapping) else None
    return found if isinstance(found, str) else ""
