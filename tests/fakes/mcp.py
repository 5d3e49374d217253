"""An MCP server in memory: answers by name, and calls that wait."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.mcp_servers import McpConfig
from openhands_sessions.ports.mcp import CallMcp, CurrentConfig, McpDone, McpFunction, McpTools
from openhands_sessions.ports.programs import Programs


@dataclass
class FakeMcp:
    """`answers` by function; `held` is what calls wait for, if anything, those of some functions for events of their
    own. `read_only` are functions that change nothing."""

    answers: dict[str, McpDone] = field(default_factory=dict)
    problems: Sequence[str] = ()
    held: asyncio.Event | None = None
    held_by_name: dict[str, asyncio.Event] = field(default_factory=dict)
    read_only: Sequence[str] = ()
    calls: list[CallMcp] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def functions(self) -> Sequence[McpFunction]:
        schema: dict[str, Json] = {"type": "object", "properties": {}}
        return [
            McpFunction(name=name, description=name, parameters=schema, read_only=name in self.read_only)
            for name in self.answers
        ]

    @functions.setter
    def functions(self, functions: Sequence[McpFunction]) -> None:
        raise AttributeError("they follow from the answers")

    @asynccontextmanager
    async def open(
        self, config: McpConfig, programs: Programs, *, current: CurrentConfig | None = None
    ) -> AsyncIterator[McpTools]:
        yield self

    async def call(self, call: CallMcp) -> McpDone:
        self.calls.append(call)
        self.called.set()
        held = self.held_by_name.get(call.name, self.held)
        if held is not None:
            await held.wait()
        return self.answers[call.name]
