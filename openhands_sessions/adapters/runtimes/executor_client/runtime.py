"""A runtime whose work is done by an executor, wherever the executor runs."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, nullcontext
from typing import Protocol

from openhands_sessions.adapters.runtimes.executor_client.connection import (
    ConnectionLost,
    ExecutorConnection,
    ExecutorUnresponsive,
)
from openhands_sessions.adapters.runtimes.executor_client.files import ExecutorFiles, KeepAwake
from openhands_sessions.adapters.runtimes.executor_client.journal import JournalIdentity, NotInJournal
from openhands_sessions.adapters.runtimes.executor_client.messages import (
    MOST_OUTPUT,
    OutputChunks,
    malformed_answer,
    outcome_of,
    query_message,
    query_result,
    task_message,
    truncated,
)
from openhands_sessions.adapters.runtimes.executor_client.programs import ExecutorPrograms
from openhands_sessions.core.errors import NotAsked, RuntimeFailure, RuntimeUnavailable
from openhands_sessions.core.events.event import Json
from openhands_sessions.executor.frames import Message
from openhands_sessions.ports.programs import Programs
from openhands_sessions.ports.runtime import (
    Lost,
    OnOutput,
    Outcome,
    Printed,
    Query,
    Running,
    RuntimeSpec,
    Task,
    UnknownAction,
    Workspace,
)

_TRIES = 5
_NAME_LIMIT = 64

ActionStatus = Outcome | Running | UnknownAction | Lost


class ExecutorEnded(RuntimeUnavailable):
    """The executor ended before it answered an action."""

    def __init__(self) -> None:
        super().__init__("the sandbox ended while it was at work; ask what became of it")


class ExecutorHost(Protocol):
    """Where one conversation's executor runs. All methods may raise RuntimeUnavailable."""

    async def connect(self) -> ExecutorConnection | None:
        """A connection as the owner; None where no executor runs. Raises ExecutorUnresponsive."""

    async def end_unresponsive(self) -> None:
        """End, by force, an executor that does not answer; nothing where it answers."""

    async def start(self) -> None:
        """Start an executor; nothing where one runs."""

    async def claim(self) -> None:
        """Write the owner's term where an executor that an older owner is starting reads it, and then refuses him."""

    async def recorded_outcome(self, key: str) -> Outcome | UnknownAction | Lost | None:
        """What the journal of an executor that has ended says of an action; None where there is no journal."""


class ExecutorRuntime:
    """Keeps one connection, opened at the first use and again after it breaks."""

    def __init__(
        self,
        spec: RuntimeSpec,
        host: ExecutorHost,
        files: Workspace | None,
        journal: JournalIdentity,
        *,
        command_timeout: float,
        output_limit: int = MOST_OUTPUT,
        keep_awake: KeepAwake = nullcontext,
    ) -> None:
        """`output_limit` is how much of an output executors are told to keep, in bytes. Without `files`, files are
        accessed through the executor. `keep_awake` keeps the sandbox awake during each call."""
        self._files = files
        self._environment = spec.environment
        self._secrets = spec.secrets
        self._keep_awake = keep_awake
        self._host = host
        self._journal = journal
        self._command_timeout = command_timeout
        self._output_limit = output_limit
        self._connection: ExecutorConnection | None = None
        self._connecting = asyncio.Lock()
        self._closed = False
        self._never: set[str] = set()  # interrupted while no executor could be told
        self._journal_name: tuple[ExecutorConnection, str] | None = None

    # Both refer to this object, so that it keeps neither: it would be freed late.

    @property
    def files(self) -> Workspace:
        return self._files or ExecutorFiles(self._keep_awake, self._started)

    @property
    def programs(self) -> Programs:
        return ExecutorPrograms(self._keep_awake, self._started, self._environment)

    async def perform(self, key: str, task: Task, on_output: OnOutput) -> Outcome:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._keep_awake())
                connection = await self._started()
            except RuntimeUnavailable as error:
                raise NotAsked(error.message) from error
            return await self._perform(connection, key, task, on_output)

    async def _perform(self, connection: ExecutorConnection, key: str, task: Task, on_output: OnOutput) -> Outcome:
        """`perform` from the first connection on. Raises ExecutorEnded too."""
        chunks = OutputChunks(on_output)
        body: dict[str, Json] = {
            "key": key,
            "task": task_message(task, environment=self._environment, timeout=self._command_timeout),
            "secrets": list(self._secrets),
        }
        for _ in range(_TRIES):
            try:
                await self._note_request(key, connection)
                if key in self._never:
                    await connection.ask("interrupt", {"key": key})
                    self._never.discard(key)
                answer = await connection.call("perform", {**body, "from": chunks.end}, chunks.take)
                self._journal.answered(key)
                return truncated(outcome_of(answer.get("outcome")), self._output_limit)
            except ConnectionLost:
                connection = await self._reconnected(key)
        raise malformed_answer()

    async def inquire(self, key: str) -> ActionStatus:
        async with self._keep_awake():
            for before_asking in (None, self._host.claim):
                if before_asking is not None:
                    await before_asking()
                answer = await self._ask("inquire", {"key": key})
                if answer is not None:
                    status = await self._certain(key, _status_in(answer))
                    if isinstance(status, Running):
                        self._journal.adopt(key, _journal_in(answer))
                    return status
            return await self._certain(key, await self._host.recorded_outcome(key))

    async def replaced(self, key: str) -> bool:
        cleared = await self._journal.cleared()
        return isinstance(await self.inquire(key), UnknownAction) if cleared is None else cleared

    async def send_input(self, text: str) -> bool:
        async with self._keep_awake():
            answer = await self._ask("input", {"text": text})
        return answer is not None and answer.get("taken") is True

    async def interrupt(self, key: str) -> None:
        try:
            async with self._keep_awake():
                delivered = await self._interrupt(key)
        except RuntimeFailure:
            delivered = False
        if not delivered:
            self._never.add(key)

    async def query(self, query: Query) -> Printed:
        message = query_message(query, environment=self._environment)
        async with self._keep_awake():
            for _ in range(_TRIES):
                connection = await self._started()
                try:
                    return query_result(await connection.call("query", message))
                except ConnectionLost:
                    continue
        raise malformed_answer()

    async def close(self) -> None:
        """Close the connection; the executor goes on."""
        self._closed = True
        async with self._connecting:
            if self._connection is not None:
                await self._connection.close()

    async def _interrupt(self, key: str) -> bool:
        """False also where the executor does not know the action but another one may: it would record that the action
        never ran."""
        answer = await self._ask("inquire", {"key": key})
        if answer is None:
            return False
        if answer.get("state") == "unknown" and not await self._journal.never_ran(key, _journal_in(answer)):
            return False
        return await self._ask("interrupt", {"key": key}) is not None

    async def _certain(self, key: str, status: ActionStatus | None) -> ActionStatus:
        """An action that a journal does not know is unknown only where no other journal can know it; else lost."""
        if status is None or isinstance(status, UnknownAction):
            journal = status.journal if isinstance(status, NotInJournal) else None
            return UnknownAction() if await self._journal.never_ran(key, journal) else Lost()
        return status if isinstance(status, Running | Lost) else truncated(status, self._output_limit)

    async def _note_request(self, key: str, connection: ExecutorConnection) -> None:
        """Note in which journal the action is about to be requested, so that its status can be told later."""
        try:
            if self._journal_name is None or self._journal_name[0] is not connection:
                self._journal_name = connection, _journal_in(await connection.ask("status", {}))
            same = await self._journal.request(key, self._journal_name[1])
        except RuntimeUnavailable as error:
            if self._journal.requested(key):
                raise
            raise NotAsked(error.message) from error
        if not same:
            raise ExecutorEnded

    async def _ask(self, op: str, body: Mapping[str, Json]) -> Message | None:
        """The answer of the running executor, None where none runs. Only for requests that may be repeated."""
        for _ in range(_TRIES):
            connection = await self._connected()
            if connection is None:
                return None
            try:
                return await connection.ask(op, body)
            except ConnectionLost:
                continue
        raise malformed_answer()

    async def _reconnected(self, key: str) -> ExecutorConnection:
        """A connection in place of a lost one. Where the executor is gone, another is started only if the action had
        not begun: the new executor reads the same journal, and so will not run it again."""
        connection = await self._connected()
        if connection is not None:
            return connection
        if isinstance(await self._certain(key, await self._host.recorded_outcome(key)), UnknownAction):
            return await self._started()
        raise ExecutorEnded

    async def _started(self) -> ExecutorConnection:
        for _ in range(_TRIES):
            connection = await self._connected()
            if connection is not None:
                return connection
            await self._host.start()  # may have found an executor that is about to end
        raise RuntimeUnavailable("the sandbox could not be reached after it was started")

    async def _connected(self) -> ExecutorConnection | None:
        async with self._connecting:
            if self._closed:
                raise RuntimeUnavailable("the sandbox was let go of")
            if self._connection is not None:
                if self._connection.alive:
                    return self._connection
                await self._connection.close()
                if self._connection.timed_out:
                    await self._host.end_unresponsive()
            self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> ExecutorConnection | None:
        try:
            return await self._host.connect()
        except ExecutorUnresponsive:
            await self._host.end_unresponsive()
        return await self._host.connect()


def _status_in(answer: Message) -> ActionStatus:
    match answer.get("state"):
        case "running":
            return Running()
        case "unknown":
            return NotInJournal(_journal_in(answer))
        case "lost":
            return Lost()
        case _:
            return outcome_of(answer.get("outcome"))


def _journal_in(answer: Message) -> str:
    name = answer.get("journal")
    return name if isinstance(name, str) and len(name) <= _NAME_LIMIT else ""
