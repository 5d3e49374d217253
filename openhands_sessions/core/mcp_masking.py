"""The secrets in a user's configuration of MCP servers: masked when they are shown, kept when the mask comes back."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.masking import MASK

_HTTP = {"sse_servers": "url", "shttp_servers": "url"}
_KINDS = {**_HTTP, "stdio_servers": "name"}
"""The lists of servers, and by which field a server is known."""
_Change = Callable[[str, str, str], object]
"""Takes the server's name with its number among servers of that name, the secret's place and its value; gives the new
value."""


def masked(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with MASK in place of each secret."""
    return _changed(config, lambda server, place, value: MASK)


def unmasked(config: Mapping[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """The configuration with the stored secrets in place of each MASK; a server is known by its address or its name.
    Raises BadInput for the mask of a secret that is not stored."""
    known: dict[tuple[str, str], object] = {}

    def note(server: str, place: str, value: str) -> object:
        known[server, _secret(place)] = value
        return value

    def found(server: str, place: str, value: str) -> object:
        if value != MASK:
            return value
        try:
            return known[server, _secret(place)]
        except KeyError:
            raise BadInput(place, "is the mask of a secret that is not stored; send the secret itself") from None

    _changed(stored or {}, note)
    return _changed(config, found)


def _changed(config: Mapping[str, Any], change: _Change) -> dict[str, Any]:
    return {kind: _list(kind, value, change) if kind in _KINDS else value for kind, value in config.items()}


def _secret(place: str) -> str:
    """A secret's name in its server: what stands behind `mcp_config.KIND.NUMBER`. A variable's name may have dots."""
    return place.split(".", 3)[3]


def _list(kind: str, servers: Any, change: _Change) -> Any:
    if not isinstance(servers, list | tuple):
        return servers
    seen: Counter[str] = Counter()
    changed = []
    for number, server in enumerate(servers):
        if isinstance(server, Mapping):
            name = str(server.get(_KINDS[kind]))
            seen[name] += 1
            server = _server(kind, f"{kind} {name} {seen[name]}", f"mcp_config.{kind}.{number}", server, change)
        changed.append(server)
    return changed


def _server(kind: str, name: str, place: str, server: Mapping[str, Any], change: _Change) -> Any:
    if kind in _HTTP:
        key = server.get("api_key")
        return {**server, "api_key": change(name, f"{place}.api_key", key)} if isinstance(key, str) and key else server
    env = server.get("env")
    return {**server, "env": dict(_variables(name, place, env, change))} if isinstance(env, Mapping) else server


def _variables(name: str, place: str, env: Mapping[str, Any], change: _Change) -> Iterator[tuple[str, object]]:
    for variable, value in env.items():
        is_secret = isinstance(value, str) and value != ""
        yield variable, change(name, f"{place}.env.{variable}", value) if is_secret else value
