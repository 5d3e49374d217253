"""The service layer as a server has it, with scripted agents and sandboxes of the tests."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from openhands_sessions.adapters.agents.choice import AgentChoice
from openhands_sessions.adapters.agents.model_agent import ModelAgents
from openhands_sessions.adapters.agents.shell import ShellAgents
from openhands_sessions.adapters.condensers.window import WindowCondenser
from openhands_sessions.adapters.memories.workspace import WorkspaceMemory
from openhands_sessions.adapters.policies.confirmation import ConfirmationMode
from openhands_sessions.adapters.tools.bash import Bash
from openhands_sessions.adapters.tools.notes import Finish
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, OwnerId
from openhands_sessions.ports.agent import Agents
from openhands_sessions.ports.files import FileStore
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.ports.runtime import Runtimes
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.service.history import History
from openhands_sessions.service.initial_input import InitialInputStore
from openhands_sessions.service.local_gateway import LocalGateway
from openhands_sessions.service.session_registry import SessionRegistry
from openhands_sessions.service.settings import SettingsStore
from openhands_sessions.service.status_board import StatusBoard
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.setup import Dependencies
from tests.fakes.files import MemoryFiles
from tests.fakes.model import FakeModel, FakeModels
from tests.fakes.runtime import FakeRuntimes
from tests.support.logs import NOW
from tests.support.scenes import LONG, our_tasks

TALK = ConversationId("talk")
ADA, BOB = OwnerId("ada"), OwnerId("bob")


@dataclass(kw_only=True)
class Office:
    """The parts of a server without its edges; another over the same store and files is the next server."""

    store: SessionStore
    files: FileStore = field(default_factory=MemoryFiles)
    models: FakeModels = field(default_factory=lambda: FakeModels(FakeModel([])))
    agents: Agents | None = None
    runtimes: Runtimes = field(default_factory=FakeRuntimes)
    layers: Sequence[Mapping[str, Any]] = ()
    max_sessions: int = 10
    idle_timeout: float = 3600.0

    def __post_init__(self) -> None:
        self._seconds = count()
        self.board = StatusBoard()
        default = AgentChoice({"default": ModelAgents(self.models), "shell": ShellAgents()})
        self.parts = Dependencies(
            store=self.store,
            runtimes=self.runtimes,
            agents=self.agents or default,
            memory=WorkspaceMemory(),
            tools=(Bash(), Finish()),
            policy=ConfirmationMode(),
            condenser=WindowCondenser("Sum up!"),
            clock=self.now,
            version="test",
        )
        self.directory = SessionRegistry(
            self.parts, self.board, max_sessions=self.max_sessions, idle_timeout=self.idle_timeout
        )
        self.settings = SettingsStore(self.files, self.layers)
        self.gateway = LocalGateway(self.store, self.directory, self.settings, InitialInputStore(self.files), self.now)
        self.history = History(self.store, self.gateway, self.runtimes, self.settings)

    def now(self) -> datetime:
        """A second later each time."""
        return NOW + timedelta(seconds=next(self._seconds))

    async def open(self, sid: str = "talk", owner: OwnerId = LOCAL_OWNER, **spec: Any) -> AgentSession:
        """Make or join a conversation, and wait until its session is set up."""
        await self.gateway.open(SessionSpec(id=ConversationId(sid), owner=owner, create=True, **spec))
        session = self.directory.find(ConversationId(sid))
        assert session is not None
        async with asyncio.timeout(LONG):
            await session.settled()
        return session


@asynccontextmanager
async def working(office: Office) -> AsyncIterator[Office]:
    """Every session is closed at the end, and no task is left."""
    before = our_tasks()
    try:
        yield office
    finally:
        async with asyncio.timeout(LONG):
            await office.directory.close_all("shutdown")
    assert len(office.directory) == 0
    assert our_tasks() <= before, "a task is left behind"
