"""Sandboxes that go wrong: out of reach, or not to be opened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from openhands_sessions.core.errors import NotAsked, RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.runtime import (
    Lost,
    OnOutput,
    Outcome,
    Printed,
    Query,
    Running,
    Runtime,
    Runtimes,
    RuntimeSpec,
    Task,
    UnknownAction,
)


class FarRuntime:
    """A runtime behind a line that may be cut."""

    def __init__(self, runtime: Runtime, line: "FarRuntimes") -> None:
        self.files = runtime.files
        self.programs = runtime.programs
        self._runtime = runtime
        self._line = line

    async def perform(self, key: str, task: Task, on_output: OnOutput) -> Outcome:
        self._line.tasks.append(task)
        await self._line.arrives.wait()
        if self._line.cut.is_set():
            raise NotAsked("The sandbox cannot be reached.")
        performing = asyncio.ensure_future(self._runtime.perform(key, task, on_output))
        cut = asyncio.ensure_future(self._line.cut.wait())
        try:
            await asyncio.wait({performing, cut}, return_when=asyncio.FIRST_COMPLETED)
            self._line.check()
            return performing.result()
        finally:
            for each in (performing, cut):
                each.cancel()
            await asyncio.wait({performing, cut})

    async def inquire(self, key: str) -> Outcome | Running | UnknownAction | Lost:
        if not self._line.answers:
            self._line.check()
        return await self._runtime.inquire(key)

    async def send_input(self, text: str) -> bool:
        self._line.check()
        return await self._runtime.send_input(text)

    async def interrupt(self, key: str) -> None:
        if not self._line.cut.is_set():
            await self._runtime.interrupt(key)

    async def replaced(self, key: str) -> bool:
        self._line.check()
        return await self._runtime.replaced(key)

    async def query(self, query: Query) -> Printed:
        self._line.check()
        return await self._runtime.query(query)


class FarRuntimes:
    """With `cut` set nothing is performed, and unless it `answers`, nothing is told either. What is to be performed
    arrives when `arrives` is set."""

    isolated = False

    def __init__(self, runtimes: Runtimes) -> None:
        self.cut = asyncio.Event()
        self.arrives = asyncio.Event()
        self.arrives.set()
        self.answers = False
        self.tasks: list[Task] = []
        """All that was to be performed."""
        self.counts = runtimes.counts
        self._runtimes = runtimes

    def check(self) -> None:
        if self.cut.is_set():
            raise RuntimeUnavailable("The sandbox does not answer.")

    @asynccontextmanager
    async def open(self, spec: RuntimeSpec) -> AsyncIterator[Runtime]:
        async with self._runtimes.open(spec) as runtime:
            yield FarRuntime(runtime, self)

    async def has_ipython(self) -> bool:
        return await self._runtimes.has_ipython()

    async def discard(self, sid: ConversationId) -> None:
        self.check()
        await self._runtimes.discard(sid)
