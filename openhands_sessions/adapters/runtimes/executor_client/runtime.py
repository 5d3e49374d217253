"""A runtime whose hands are an executor, wherever that one runs."""

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Protocol

from openhands_sessions.adapters.runtimes.executor_client.chunks import OutputChunks
from openhands_sessions.adapters.runtimes.executor_client.connection import (
    ConnectionLost,
    ExecutorConnection,
    ExecutorUnresponsive,
    Message,
)
from openhands_sessions.adapters.runtimes.executor_client.files import ExecutorFiles, KeepAwake
from openhands_sessions.adapters.runtimes.executor_client.journal import NotInJournal
from openhands_sessions.adapters.runtimes.executor_client.journal_identity import JournalIdentity
from openhands_sessions.adapters.runtimes.executor_client.messages import (
    MOST_OUTPUT,
    malformed_answer,
    outcome_of,
    printed,
    query_message,
    task_message,
    within,
)
from openhands_sessions.adapters.runtimes.executor_client.programs import ExecutorPrograms
from openhands_sessions.core.errors import NotAsked, RuntimeFailure, RuntimeUnavailable
from openhands_sessions.core.events.event import Json
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
    """The executor is gone, and with it the connection on which it was to tell an outcome."""

    def __init__(self) -> None:
        super().__init__("the sandbox ended while it was at work; ask what became of it")


class ExecutorHost(Protocol):
    """How one conversation's executor is reached. All may raise RuntimeUnavailable."""

    async def connect(self) -> ExecutorConnection | None:
        """A connection as the owner; None where no executor runs. Raises ExecutorUnresponsive."""

    async def end_unresponsive(self) -> None:
        """End, by force, an executor that does not answer: it would be in the way for ever. Nothing where it does."""

    async def start(self) -> None:
        """See to it that one runs; nothing where one does."""

    async def claim(self) -> None:
        """Make an executor that is being started by an older owner refuse that owner."""

    async def recorded_outcome(self, key: str) -> Outcome | UnknownAction | Lost | None:
        """What an executor that no longer runs has left behind of an action; None where it left nothing at all."""


class ExecutorRuntime:
    """Keeps one connection, made when it is first needed and again when it breaks."""

    def __init__(
        self,
        spec: RuntimeSpec,
        host: ExecutorHost,
        files: Workspace | None,
        identity: JournalIdentity,
        *,
        command_timeout: float,
        output_limit: int = MOST_OUTPUT,
        awake: KeepAwake = nullcontext,
    ) -> None:
        """`output_limit` is what executors are told to keep of an output, in bytes. Without `files`, they are the
        executor's to see, and the sandbox is kept `awake` for that."""
        self.files = files or ExecutorFiles(awake, self._started)
        self.programs: Programs = ExecutorPrograms(self._started, spec.environment)
        self._environment = spec.environment
        self._host = host
        self._identity = identity
        self._command_timeout = command_timeout
        self._output_limit = output_limit
        self._link: ExecutorConnection | None = None
        self._connecting = asyncio.Lock()
        self._closed = False
        self._never: set[str] = set()  # interrupted while no executor ran that could remember it
        self._journal: tuple[ExecutorConnection, str] | None = None

    async def perform(self, key: str, task: Task, on_output: OnOutput) -> Outcome:
        pieces = OutputChunks(on_output)
        body: dict[str, Json] = {
            "key": key,
            "task": task_message(task, environment=self._environment, timeout=self._command_timeout),
        }
        try:
            link = await self._started()
        except RuntimeUnavailable as error:
            raise NotAsked(error.message) from error
        for _ in range(_TRIES):
            try:
                await self._vouched(key, link)
                if key in self._never:
                    await link.ask("interrupt", {"key": key})
                    self._never.discard(key)
                answer = await link.call("perform", {**body, "from": pieces.end}, pieces.take)
                self._identity.answered(key)
                return within(outcome_of(answer.get("outcome")), self._output_limit)
            except ConnectionLost:
                link = await self._regained(key)
        raise malformed_answer()

    async def inquire(self, key: str) -> ActionStatus:
        for before_asking in (None, self._host.claim):
            if before_asking is not None:
                await before_asking()
            answer = await self._asked("inquire", {"key": key})
            if answer is not None:
                known = await self._sure(key, _state_of(answer))
                if isinstance(known, Running):
                    self._identity.adopt(key, _journal_of(answer))
                return known
        return await self._sure(key, await self._host.recorded_outcome(key))

    async def send_input(self, text: str) -> bool:
        answer = await self._asked("input", {"text": text})
        return answer is not None and answer.get("taken") is True

    async def interrupt(self, key: str) -> None:
        try:
            told = await self._interrupted(key)
        except RuntimeFailure:
            told = False
        if not told:
            self.never(key)

    async def query(self, query: Query) -> Printed:
        for _ in range(_TRIES):
            link = await self._started()
            try:
                return printed(await link.call("query", query_message(query, environment=self._environment)))
            except ConnectionLost:
                continue
        raise malformed_answer()

    def never(self, key: str) -> None:
        """Do not do this action, should it be asked for; for the time that no executor can be told."""
        self._never.add(key)

    async def close(self) -> None:
        """Let go of the executor, which goes on."""
        self._closed = True
        async with self._connecting:
            if self._link is not None:
                await self._link.close()

    async def _interrupted(self, key: str) -> bool:
        """Not where the executor has not heard of it but another may have: that would make it one that never ran."""
        answer = await self._asked("inquire", {"key": key})
        if answer is None:
            return False
        if answer.get("state") == "unknown" and not await self._identity.never_ran(key, _journal_of(answer)):
            return False
        return await self._asked("interrupt", {"key": key}) is not None

    async def _sure(self, key: str, known: ActionStatus | None) -> ActionStatus:
        """That something has not heard of an action does not say that it never ran."""
        if known is None or isinstance(known, UnknownAction):
            journal = known.journal if isinstance(known, NotInJournal) else None
            return UnknownAction() if await self._identity.never_ran(key, journal) else Lost()
        return known if isinstance(known, Running | Lost) else within(known, self._output_limit)

    async def _vouched(self, key: str, link: ExecutorConnection) -> None:
        """See to it that what becomes of an action can be told later, before it is asked for."""
        try:
            if self._journal is None or self._journal[0] is not link:
                self._journal = link, _journal_of(await link.ask("status", {}))
            here = await self._identity.ask(key, self._journal[1])
        except RuntimeUnavailable as error:
            if self._identity.asked(key):
                raise
            raise NotAsked(error.message) from error
        if not here:
            raise ExecutorEnded

    async def _asked(self, op: str, body: Mapping[str, Json]) -> Message | None:
        """The answer of the running executor, None where none runs. Only for what may be asked twice."""
        for _ in range(_TRIES):
            link = await self._connected()
            if link is None:
                return None
            try:
                return await link.ask(op, body)
            except ConnectionLost:
                continue
        raise malformed_answer()

    async def _regained(self, key: str) -> ExecutorConnection:
        """A connection in place of one that was lost. Where the executor is gone, a new one is started only if the old
        one had not begun the action: the new one reads its journal, and so will not begin it again."""
        link = await self._connected()
        if link is not None:
            return link
        if isinstance(await self._sure(key, await self._host.recorded_outcome(key)), UnknownAction):
            return await self._started()
        raise ExecutorEnded

    async def _started(self) -> ExecutorConnection:
        for _ in range(_TRIES):
            link = await self._connected()
            if link is not None:
                return link
            await self._host.start()  # one that is just ending may still have been taken for a running one
        raise RuntimeUnavailable("the sandbox could not be reached after it was started")

    async def _connected(self) -> ExecutorConnection | None:
        async with self._connecting:
            if self._closed:
                raise RuntimeUnavailable("the sandbox was let go of")
            if self._link is not None:
                if self._link.alive:
                    return self._link
                await self._link.close()
                if self._link.silent:
                    await self._host.end_unresponsive()
            self._link = await self._greeted()
            return self._link

    async def _greeted(self) -> ExecutorConnection | None:
        try:
            return await self._host.connect()
        except ExecutorUnresponsive:
            await self._host.end_unresponsive()
        return await self._host.connect()


def _state_of(answer: Message) -> ActionStatus:
    match answer.get("state"):
        case "running":
            return Running()
        case "unknown":
            return NotInJournal(_journal_of(answer))
        case "lost":
            return Lost()
        case _:
            return outcome_of(answer.get("outcome"))


def _journal_of(answer: Message) -> str:
    name = answer.get("journal")
    return name if isinstance(name, str) and len(name) <= _NAME_LIMIT else ""
