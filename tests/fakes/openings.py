"""Parts that cannot be opened, that hang while they are opened or closed, and that remember being closed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from openhands_sessions.adapters.agents.shell import ShellAgent
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.agent import Agent
from openhands_sessions.ports.call_ledger import CallLedger
from openhands_sessions.ports.memory import RecalledKnowledge
from openhands_sessions.ports.runtime import Runtime, RuntimeSpec, Workspace
from openhands_sessions.ports.store import SessionStore, Snapshot, SnapshotStore
from tests.fakes.runtime import FakeRuntimes

Fault = Callable[[], Exception] | None


class Doorway:
    """What happens when something is opened and closed. `fault` is raised at the opening, `ill` at the closing; with
    `held` the opening waits, with `stuck` the closing."""

    def __init__(
        self,
        fault: Fault = None,
        *,
        ill: Fault = None,
        held: asyncio.Event | None = None,
        stuck: asyncio.Event | None = None,
    ) -> None:
        self.entered = asyncio.Event()
        self.left = asyncio.Event()
        self.closed = 0
        self.fault = fault
        self._ill = ill
        self.held = held
        self._stuck = stuck

    async def enter(self) -> None:
        self.entered.set()
        if self.held is not None:
            await self.held.wait()
        if self.fault is not None:
            raise self.fault()

    async def leave(self) -> None:
        self.left.set()
        self.closed += 1
        if self._stuck is not None:
            await self._stuck.wait()
        if self._ill is not None:
            raise self._ill()

    async def images(self) -> Sequence[str]:
        await self.enter()
        return ()


class DoorStore:
    """A store that is asked for its snapshot through a door."""

    problem: str | None = None

    async def until_it_works(self) -> None:
        """It always does."""

    def __init__(self, store: SessionStore, door: Doorway) -> None:
        self.conversations = store.conversations
        self.snapshots: SnapshotStore = DoorSnapshots(store.snapshots, door)
        self.read_marks = store.read_marks
        self.accounts = store.accounts
        self.shares = store.shares
        self.states = store.states
        self.uploads = store.uploads
        self.log = store.log
        self.claim = store.claim
        self.release = store.release
        self.held = store.held
        self.approvals_due = store.approvals_due


class DoorSnapshots:
    def __init__(self, snapshots: SnapshotStore, door: Doorway) -> None:
        self._door = door
        self.save = snapshots.save
        self._load = snapshots.load

    async def load(self, sid: ConversationId, at: EventId | None = None) -> Snapshot | None:
        await self._door.enter()
        return await self._load(sid, at)


class DoorRuntimes:
    isolated = False

    def __init__(self, door: Doorway) -> None:
        self.door = door
        self._runtimes = FakeRuntimes()
        self.counts = self._runtimes.counts

    @asynccontextmanager
    async def open(self, spec: RuntimeSpec) -> AsyncIterator[Runtime]:
        await self.door.enter()
        async with self._runtimes.open(spec) as runtime:
            try:
                yield runtime
            finally:
                await self.door.leave()

    async def has_ipython(self) -> bool:
        return await self._runtimes.has_ipython()

    async def discard(self, sid: ConversationId) -> None:
        await self._runtimes.discard(sid)


class DoorAgents:
    def __init__(self, door: Doorway) -> None:
        self.door = door

    @asynccontextmanager
    async def open(self, settings: SessionSettings, ledger: CallLedger) -> AsyncIterator[Agent]:
        await self.door.enter()
        try:
            yield ShellAgent()
        finally:
            await self.door.leave()


class DoorMemory:
    def __init__(self, door: Doorway) -> None:
        self.door = door
        self.asked: Sequence[Workspace] = ()

    async def recall(self, files: Workspace) -> RecalledKnowledge:
        self.asked = [*self.asked, files]
        await self.door.enter()
        return RecalledKnowledge(instructions="Be kind.")
