"""The tools of MCP servers, and how they are called."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.settings import McpConfig
from openhands_sessions.ports.programs import Programs


@dataclass(frozen=True, kw_only=True, slots=True)
class McpFunction:
    """A tool of a server. `name` is ours: letters, digits, `-` and `_`, at most 64, unique in a session, beginning
    with `mcp_`. `parameters` is the schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Json]


@dataclass(frozen=True, kw_only=True, slots=True)
class CallMcp:
    """Call a tool; `timeout` in seconds, None for the conversation's limit of a command."""

    name: str
    arguments: Mapping[str, Json]
    timeout: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class McpDone:
    """What a tool answered. `failed`: it says itself that it did not do it. `unknown`: the answer never came, `text`
    says why; nobody knows whether it did it."""

    text: str
    failed: bool = False
    unknown: bool = False


class McpTools(Protocol):
    """The servers of one session."""

    functions: Sequence[McpFunction]
    problems: Sequence[str]
    """Servers that cannot be used, and why, for users."""

    async def call(self, call: CallMcp) -> McpDone:
        """Call once; never repeated here. Being cancelled tells the server, and leaves the outcome unknown. Raises
        nothing of the servers'."""


class McpServers(Protocol):
    """How servers are reached."""

    def open(self, config: McpConfig, programs: Programs) -> AbstractAsyncContextManager[McpTools]:
        """Connect to all at once, each within its limit; one that fails is a problem of McpTools, and the others go
        on. The end of the block ends the connections."""
