"""An MCP server in memory: answers by name, and calls that wait."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.settings import McpConfig
from openhands_sessions.ports.mcp import CallMcp, McpDone, McpFunction, McpTools
from openhands_sessions.ports.programs import Programs


@dataclass
class FakeMcp:
    """`answers` by function; `held` is what calls wait for, if anything."""

    answers: dict[str, McpDone] = field(default_factory=dict)
    problems: Sequence[str] = ()
    held: asyncio.Event | None = None
    calls: list[CallMcp] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def functions(self) -> Sequence[McpFunction]:
        schema: dict[str, Json] = {"type": "object", "properties": {}}
        return [McpFunction(name=name, description=name, parameters=schema) for name in self.answers]

    @functions.setter
    def functions(self, functions: Sequence[McpFunction]) -> None:
        raise AttributeError("they follow from the answers")

    @asynccontextmanager
    async def open(self, config: McpConfig, programs: Programs) -> AsyncIterator[McpTools]:
        yield self

    async def call(self, call: CallMcp) -> McpDone:
        self.calls.append(call)
        self.called.set()
        if self.held is not None:
            await self.held.wait()
        return self.answers[call.name]
