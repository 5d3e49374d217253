"""The kinds of values that settings have, and what they are checked for."""

import json
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints, WithJsonSchema

NO_KEYS = ("null", "undefined")
"""What web clients send without a key; therefore not allowed as keys."""

SHORTEST_ENCRYPTION_KEY = 16
SHORTEST_TOKEN_SECRET = 32
SHORTEST_METRICS_KEY = 16
HEADER_SCHEMA = {"type": "string", "format": "header"}


def _split(value: object) -> object:
    """`a, b` as environment and flags give a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def from_json(value: object) -> object:
    """A list as environment and flags give it. Raises ValueError for what is not JSON."""
    return json.loads(value) if isinstance(value, str) else value


def _network(text: str) -> str:
    """Raises ValueError for what is neither an address nor a network."""
    return str(ip_network(text))


def _absolute(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:  # `~name` of a user that does not exist
        raise ValueError("not a path of this machine") from error


def _base_path(text: str) -> str:
    """With a slash before it and none behind; empty for none. Raises ValueError."""
    path = "/".join(["", *text.strip("/").split("/")]) if text.strip("/") else ""
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", path) or {".", ".."} & set(path.split("/")):
        raise ValueError("not a path")
    return path


def _http_address(text: str) -> str:
    """Raises ValueError."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("not an address of HTTP")
    return text


def _usable(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if text and (not text.strip() or not text.isascii() or not text.isprintable() or text in NO_KEYS):
        raise ValueError("not a usable key")
    return key


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
HostName = Annotated[str, StringConstraints(to_lower=True, pattern=r"^([A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+)$")]
HttpAddress = Annotated[
    str, AfterValidator(_http_address), WithJsonSchema({"type": "string", "format": "http-address"})
]
HostNames = Annotated[tuple[HostName, ...], BeforeValidator(_split)]
Networks = Annotated[
    tuple[Annotated[str, AfterValidator(_network), WithJsonSchema({"type": "string", "format": "network"})], ...],
    BeforeValidator(_split),
]
BasePath = Annotated[str, AfterValidator(_base_path), WithJsonSchema({"type": "string", "format": "base-path"})]
Place = Annotated[Path, AfterValidator(_absolute)]
SessionKey = Annotated[SecretStr, AfterValidator(_usable)]
TokenSecret = Annotated[SecretStr, Field(min_length=SHORTEST_TOKEN_SECRET)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$"), WithJsonSchema(HEADER_SCHEMA)]
MetricsKey = Annotated[SecretStr, AfterValidator(_usable), Field(min_length=SHORTEST_METRICS_KEY)]
EncryptionKey = Annotated[SecretStr, Field(min_length=SHORTEST_ENCRYPTION_KEY)]
