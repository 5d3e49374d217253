"""Secrets that a user gives to the commands of a sandbox: what they may be."""

import re
import unicodedata
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, SecretStr

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json

LONGEST_SECRET = 16 * 1024
LONGEST_DESCRIPTION = 1_000
MOST_SECRETS = 200
SECRETS_TOTAL = 24 * 1024
"""Bytes of all secrets of a user or a conversation together; they are in the environment of every command."""
_SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_RESERVED_NAMES = re.compile(
    r"(?:OHS_|LD_|BASH)\w*|PATH|HOME|PWD|OLDPWD|SHELL|SHELLOPTS|IFS|ENV|PS[0-4]|PROMPT_COMMAND|TERM"
)


def check_name(name: str) -> str:
    """The name. Raises BadInput if it is not allowed for a user's environment variable."""
    if not _SECRET_NAME.fullmatch(name):
        raise BadInput("name", "must be 1 to 128 letters, digits or '_', not beginning with a digit")
    if _RESERVED_NAMES.fullmatch(name):
        raise BadInput("name", f"must not be {name!r}: the sandbox needs that variable for itself")
    return name


def check_value(value: str) -> str:
    """The value. Raises BadInput."""
    if not value or "\0" in value or len(value.encode("utf-8", "replace")) > LONGEST_SECRET:
        raise BadInput("value", f"must be 1 to {LONGEST_SECRET} bytes of text without NUL")
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
    """Check the secrets of one layer of settings. Raises BadInput for more than an environment can hold."""
    if not isinstance(secrets, Mapping):
        return
    total = sum(len(f"{name}{_secret_value(secret)}".encode("utf-8", "replace")) for name, secret in secrets.items())
    if len(secrets) > MOST_SECRETS or total > SECRETS_TOTAL:
        raise BadInput("custom_secrets", f"must be at most {MOST_SECRETS}, of {SECRETS_TOTAL} bytes together")


def _secret_value(secret: Json) -> str:
    found = secret.get("value") if isinstance(secret, Mapping) else None
    return found if isinstance(found, str) else ""


class CustomSecret(BaseModel):
    """A value in the environment of commands; never shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: SecretStr
    description: str = ""
