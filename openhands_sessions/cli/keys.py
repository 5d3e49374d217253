"""The session key on the command line: a server's own, the one that another server asks for, and `login-url`."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from pydantic import SecretStr

from openhands_sessions.bootstrap import application as bootstrap
from openhands_sessions.cli import logs
from openhands_sessions.cli.settings import loaded, secrets
from openhands_sessions.config.config import Config
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.config.loading import KEY, Loaded
from openhands_sessions.config.session_key import find_key, make_key
from openhands_sessions.core.errors import Unauthorized


def check_auth(found: Loaded) -> None:
    """Raises ConfigError where no server may start with this authentication."""
    if (problem := found.config.auth_problem) is not None:
        by = found.origins[KEY if found.config.auth.kind == "session_key" else "auth.kind"]
        raise ConfigError(by.partition(" ")[2], problem)


def with_key(found: Loaded) -> Config:
    """The configuration with the key that the data folder's server makes for itself, if it needs one and none is
    configured. Raises ConfigError, OSError."""
    config = found.config
    if not config.makes_key:
        return config
    key = make_key(config.data_dir)
    logs.configure(config.log.level, config.log.format, [*secrets(found), key])
    return config.model_copy(update={"server": config.server.model_copy(update={"session_api_key": SecretStr(key)})})


@contextmanager
def key_for(server: str, config: Config) -> Iterator[str | None]:
    """The key to show to a server. Where the server refuses it, says what to do. Raises ConfigError, Unauthorized."""
    given = config.server.session_api_key
    key = find_key(server, None if given is None else given.get_secret_value(), config.data_dir)
    try:
        yield key
    except Unauthorized as error:
        if error.message.startswith(("the token", "a token", "callers are let in")):
            raise Unauthorized(f"the server at {server} refuses what is shown as the key: {error.message}") from error
        if given is not None and given.get_secret_value():
            told = (
                "does not take this session key, which you gave as OHS_SESSION_API_KEY, as --session-api-key or in the"
                " configuration: give its operator's, or leave it out if it runs here as this user"
            )
        else:
            problem = "needs a session key" if key is None else "does not take the session key of this data folder"
            told = (
                f"{problem}: set OHS_SESSION_API_KEY to the key of its operator, or, if it runs here as this user, name"
                " its data folder with --data-dir"
            )
        raise Unauthorized(f"the server at {server} {told}") from error


def login_url(flags: Mapping[str, object], file: Path | None, server: str | None) -> int:
    """Print an address that logs a browser in. Raises ConfigError, SessionsError."""
    config = loaded(flags, file, quiet=True).config
    url = (server or url_of(config, config.server.port)).rstrip("/")
    with key_for(url, config) as key:
        token = asyncio.run(_new_token(url, key))
    print(link_of(url, token))
    return 0


async def _new_token(url: str, key: str | None) -> str | None:
    return await bootstrap.new_login_token(url, key)


def link_of(url: str, token: str | None) -> str:
    return url if token is None else f"{url}/?token={token}"


def url_of(config: Config, port: int) -> str:
    """Where this machine reaches a server with this configuration."""
    scheme = "http" if config.server.tls_certificate is None else "https"
    return f"{scheme}://{_reached_at(config.server.host)}:{port}{config.server.base_path}"


def _reached_at(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host or "127.0.0.1"
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return host if address.version == 4 else f"[{host}]"
