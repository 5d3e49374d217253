"""A Runtime whose calls are boundaries."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from openhands_sessions.config.config import Config
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
from openhands_sessions.ports.store import SessionStore
from tests.support.boundaries import AFTER, AMID, Boundaries


class FailingRuntime:
    """A Runtime."""

    def __init__(self, runtime: Runtime, boundaries: Boundaries) -> None:
        self.files = runtime.files
        self.programs = runtime.programs
        self._runtime = runtime
        self._boundaries = boundaries

    async def perform(self, key: str, task: Task, on_output: OnOutput) -> Outcome:
        boundary = self._boundaries.begin("perform")
        silent = True

        def heard(text: str) -> None:
            nonlocal silent
            if silent:
                boundary.reach(AMID)
            silent = False
            on_output(text)

        outcome = await self._runtime.perform(key, task, heard)
        boundary.reach(AFTER)
        return outcome

    async def inquire(self, key: str) -> Outcome | Running | UnknownAction | Lost:
        boundary = self._boundaries.begin("inquire")
        known = await self._runtime.inquire(key)
        boundary.reach(AFTER)
        return known

    async def replaced(self, key: str) -> bool:
        return await self._runtime.replaced(key)

    async def send_input(self, text: str) -> bool:
        return await self._runtime.send_input(text)

    async def interrupt(self, key: str) -> None:
        boundary = self._boundaries.begin("interrupt")
        await self._runtime.interrupt(key)
        boundary.reach(AFTER)

    async def query(self, query: Query) -> Printed:
        return await self._runtime.query(query)


class FailingRuntimes:
    """Runtimes."""

    def __init__(self, runtimes: Runtimes, boundaries: Boundaries) -> None:
        self.isolated = runtimes.isolated
        self.counts = runtimes.counts
        self._runtimes = runtimes
        self._boundaries = boundaries

    @asynccontextmanager
    async def open(self, spec: RuntimeSpec) -> AsyncIterator[Runtime]:
        async with self._runtimes.open(spec) as runtime:
            yield FailingRuntime(runtime, self._boundaries)
            await asyncio.sleep(self._boundaries.linger)

    async def has_ipython(self) -> bool:
        return await self._runtimes.has_ipython()

    async def discard(self, sid: ConversationId) -> None:
        await self._runtimes.discard(sid)


Kinds = Mapping[str, Callable[[Config, SessionStore], AbstractAsyncContextManager[Runtimes]]]


def failing_runtimes(kinds: Kinds, boundaries: Boundaries) -> Kinds:
    """The same kinds, wrapped."""

    def wrapped(
        make: Callable[[Config, SessionStore], AbstractAsyncContextManager[Runtimes]],
    ) -> Callable[[Config, SessionStore], AbstractAsyncContextManager[Runtimes]]:
        @asynccontextmanager
        async def made(config: Config, store: SessionStore) -> AsyncIterator[Runtimes]:
            async with make(config, store) as runtimes:
                yield FailingRuntimes(runtimes, boundaries)

        return made

    return {name: wrapped(make) for name, make in kinds.items()}
