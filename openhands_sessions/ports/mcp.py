"""The tools of MCP servers."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.mcp_servers import McpConfig
from openhands_sessions.ports.programs import Programs


@dataclass(frozen=True, kw_only=True, slots=True)
class McpFunction:
    """A tool of a server. `name` is ours: letters, digits, `-` and `_`, at most 64, unique in a session, beginning
    with `mcp_`; a function of a program has its own name. `parameters` is the schema of its arguments. `read_only`: its
    server says that it changes nothing. `idempotent`: twice does the same as once, so that a call which a restart cut
    off is made again. `agent`: the call asks that agent; with a `handoff`, that one goes on with the turn."""

    name: str
    description: str
    parameters: Mapping[str, Json]
    read_only: bool = False
    idempotent: bool = False
    agent: str | None = None
    handoff: bool = False


def agent_function(name: str, agent: str, description: str, *, handoff: bool = False) -> McpFunction:
    """The function that asks an agent, or has it take over. Asking twice gives the first answer again."""
    about = (
        "What it is to go on with, and what it must know." if handoff else "What it is to do; it knows nothing else."
    )
    task: Json = {"type": "string", "description": about}
    parameters: dict[str, Json] = {"type": "object", "properties": {"task": task}, "required": ["task"]}
    return McpFunction(
        name=name, description=description, parameters=parameters, idempotent=True, agent=agent, handoff=handoff
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CallMcp:
    """Call a tool; `timeout` in seconds, None for the conversation's limit of a command. `key` names the action, the
    same in each try."""

    name: str
    arguments: Mapping[str, Json]
    timeout: float | None = None
    key: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class McpFile:
    """Content of an answer that is not text, and the media type that the server gives it."""

    kind: str
    content: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class McpDone:
    """The answer of a tool. `failed`: the tool reports an error. `unknown`: the answer never came, `text` says why; the
    call may have taken effect. In `text`, `[attachment 1]` stands for the first of the `files`, and so on."""

    text: str
    files: Sequence[McpFile] = ()
    failed: bool = False
    unknown: bool = False


class McpTools(Protocol):
    """The servers of one session."""

    functions: Sequence[McpFunction]
    problems: Sequence[str]
    """Which servers cannot be used, and why, for users."""

    async def call(self, call: CallMcp) -> McpDone:
        """Call once; again only where the server has certainly not carried it out, once, after greeting it anew. When
        cancelled, the server is told, and the outcome is unknown. Does not raise for errors of servers."""


CurrentConfig = Callable[[], McpConfig | None]


class McpServers(Protocol):
    """Opens connections to servers."""

    def open(
        self, config: McpConfig, programs: Programs, *, current: CurrentConfig | None = None
    ) -> AbstractAsyncContextManager[McpTools]:
        """Connect to all at once, each within its limit; one that fails is a problem of McpTools, and the others go
        on. The end of the block ends the connections. `current` is asked before each request over HTTP for the keys of
        then, of servers with the same addresses."""
