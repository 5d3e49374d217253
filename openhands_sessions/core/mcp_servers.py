"""The MCP servers of a conversation."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from openhands_sessions.core.texts import Argument, Line, SecretKey

MOST_SERVERS = 32
_LEAST_SECRET = 8
"""Characters from which on a variable's value is masked; shorter ones would mask common words."""


def _as_address(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


def _web_address(url: str) -> str:
    if not url.startswith(("http://", "https://")) or not url.isprintable() or " " in url:
        raise ValueError("must begin with http:// or https://")
    if not urlsplit(url).hostname:  # raises ValueError where there can be none
        raise ValueError("must name a host")
    return url


def _variable(name: str) -> str:
    if not name or "=" in name:
        raise ValueError("must be the name of an environment variable")
    return name


Variable = Annotated[Line, AfterValidator(_variable)]


class HttpServer(BaseModel):
    """A server reached over HTTP; `api_key` is sent as a bearer token."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: Annotated[str, Field(max_length=2_000), AfterValidator(_web_address)]
    api_key: SecretKey | None = None


class StdioServer(BaseModel):
    """A server that is a program inside the sandbox."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Line = Field(min_length=1, max_length=64)
    command: Argument = Field(min_length=1, max_length=1_000)
    args: tuple[Argument, ...] = Field((), max_length=100)
    env: dict[Variable, Argument] = Field({}, max_length=100)


_HttpServer = Annotated[HttpServer, BeforeValidator(_as_address)]


class McpConfig(BaseModel):
    """The MCP servers of a conversation, in the V0 client's form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sse_servers: tuple[_HttpServer, ...] = Field((), max_length=MOST_SERVERS)
    stdio_servers: tuple[StdioServer, ...] = Field((), max_length=MOST_SERVERS)
    shttp_servers: tuple[_HttpServer, ...] = Field((), max_length=MOST_SERVERS)

    @property
    def empty(self) -> bool:
        return not (self.sse_servers or self.stdio_servers or self.shttp_servers)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must be masked in everything that the conversation records."""
        keys = [server.api_key for server in (*self.sse_servers, *self.shttp_servers) if server.api_key is not None]
        return (*(key.get_secret_value() for key in keys), *self.sandbox_secrets)

    @property
    def sandbox_secrets(self) -> tuple[str, ...]:
        """Those of servers that run in the sandbox."""
        values = [value for server in self.stdio_servers for value in server.env.values()]
        return tuple(value for value in values if len(value) >= _LEAST_SECRET)
