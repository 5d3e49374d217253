"""A conversation's container while a session has it open."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from openhands_sessions.adapters.runtimes.docker.lifecycle import ContainerLifecycle
from openhands_sessions.adapters.runtimes.executor_client.connection import ExecutorConnection
from openhands_sessions.adapters.runtimes.executor_client.runtime import ExecutorEnded, ExecutorRuntime
from openhands_sessions.core.errors import NotAsked, RuntimeUnavailable
from openhands_sessions.ports.programs import Programs, ProgramSession, ProgramSpec
from openhands_sessions.ports.runtime import (
    CommandDone,
    EditDone,
    Lost,
    OnOutput,
    OnStep,
    Outcome,
    Printed,
    Query,
    Running,
    RuntimeSpec,
    Task,
    UnknownAction,
)

FULL = "the workspace holds more than it may, so all that ran in the sandbox was ended: delete what is not needed"


class ContainerHost:
    """Starts the executor of a container."""

    def __init__(self, lifecycle: ContainerLifecycle, spec: RuntimeSpec) -> None:
        self._lifecycle = lifecycle
        self._storage = lifecycle.starter.storage
        self._spec = spec

    async def connect(self) -> ExecutorConnection | None:
        try:
            awake = await self._lifecycle.awake(self._spec.on_step)
        except RuntimeUnavailable:
            awake = True  # containers go on for a while without their engine
        return await self._storage.connect(self._spec.term) if awake else None

    async def end_unresponsive(self) -> None:
        await self._lifecycle.end_unresponsive()

    async def start(self) -> None:
        await self._lifecycle.ensure_running(self._spec.term, self._spec.on_step)

    async def claim(self) -> None:
        await self._storage.claim(self._spec.term)

    async def recorded_outcome(self, key: str) -> Outcome | UnknownAction | Lost | None:
        return await self._storage.recorded_outcome(key)


class DockerRuntime:
    """An ExecutorRuntime that keeps its container awake during each call."""

    def __init__(self, inner: ExecutorRuntime, lifecycle: ContainerLifecycle, on_step: OnStep) -> None:
        self.files = inner.files
        self.programs: Programs = _AwakePrograms(inner.programs, lifecycle, on_step)
        self._inner = inner
        self._lifecycle = lifecycle
        self._on_step = on_step

    async def perform(self, key: str, task: Task, on_output: OnOutput) -> Outcome:
        guard = self._lifecycle.guard
        reported = guard.times_reported
        async with self._used():
            try:
                outcome = await self._inner.perform(key, task, on_output)
            except ExecutorEnded as error:
                outcome = await self._outcome_after_end(key, error, full=guard.times_full > reported)
        if guard.times_full > reported and isinstance(outcome, CommandDone):
            guard.times_reported = guard.times_full
            return replace(outcome, output=f"{outcome.output}\n[{FULL}]\n")
        return outcome

    async def inquire(self, key: str) -> Outcome | Running | UnknownAction | Lost:
        async with self._lifecycle.used(self._on_step):
            return await self._inner.inquire(key)

    async def send_input(self, text: str) -> bool:
        async with self._lifecycle.used(self._on_step):
            return await self._inner.send_input(text)

    async def interrupt(self, key: str) -> None:
        try:
            async with self._lifecycle.used(self._on_step):
                await self._inner.interrupt(key)
        except RuntimeUnavailable:
            self._inner.never_run(key)

    async def query(self, query: Query) -> Printed:
        async with self._lifecycle.used(self._on_step):
            return await self._inner.query(query)

    async def _outcome_after_end(self, key: str, error: ExecutorEnded, *, full: bool) -> Outcome:
        """What the executor could record of an action before the sandbox was ended for its size."""
        known = await self._inner.inquire(key) if full else None
        if isinstance(known, CommandDone | EditDone):
            return known
        raise RuntimeUnavailable(
            FULL if full else await self._lifecycle.starter.end_reason() or error.message
        ) from error

    @asynccontextmanager
    async def _used(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._lifecycle.used(self._on_step))
            except RuntimeUnavailable as error:
                raise NotAsked(error.message) from error
            yield


class _AwakePrograms:
    """Keeps the container awake for as long as a program runs: in a paused one it would not answer."""

    def __init__(self, inner: Programs, lifecycle: ContainerLifecycle, on_step: OnStep) -> None:
        self._inner = inner
        self._lifecycle = lifecycle
        self._on_step = on_step

    @asynccontextmanager
    async def open(self, program: ProgramSpec) -> AsyncIterator[ProgramSession]:
        async with self._lifecycle.used(self._on_step), self._inner.open(program) as session:
            yield session
