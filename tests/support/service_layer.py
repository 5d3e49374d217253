"""The service layer as a server builds it, with scripted agents and fake sandboxes."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

from openhands_sessions.adapters.agents.model_agent import ModelAgents
from openhands_sessions.adapters.agents.shell import AgentChoice, ShellAgents
from openhands_sessions.adapters.auths.link_tokens import SignedLinks
from openhands_sessions.adapters.confirmation_policy import ConfirmationMode
from openhands_sessions.adapters.tools.execution import Bash
from openhands_sessions.adapters.tools.notes import Finish
from openhands_sessions.adapters.window_condenser import WindowCondenser
from openhands_sessions.adapters.workspace_memory import WorkspaceMemory
from openhands_sessions.core.ids import LINK_PREFIX, LOCAL_OWNER, ConversationId, OwnerId
from openhands_sessions.ports.access import Access, Principal, Role
from openhands_sessions.ports.agent import Agents
from openhands_sessions.ports.files import FileStore
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.ports.operations import SessionLimits
from openhands_sessions.ports.runtime import Runtimes
from openhands_sessions.ports.sharing import SharedLink
from openhands_sessions.ports.store import SessionStore, StoredLimits
from openhands_sessions.ports.workspaces import UploadLimits
from openhands_sessions.service.expected_clients import ExpectedClients
from openhands_sessions.service.initial_input import InitialInputStore
from openhands_sessions.service.local_access import LocalAccess
from openhands_sessions.service.local_sharing import LocalSharing
from openhands_sessions.service.local_states import LocalStates
from openhands_sessions.service.local_usage import LocalUsage
from openhands_sessions.service.session_registry import SessionRegistry
from openhands_sessions.service.session_service import ConversationLimits, SessionService
from openhands_sessions.service.settings import SettingsStore
from openhands_sessions.service.state_checks import StateChecks
from openhands_sessions.service.state_files import StateFiles
from openhands_sessions.service.state_news import StateNews
from openhands_sessions.service.status_board import StatusBoard
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.dependencies import Dependencies
from tests.fakes.files import MemoryFiles
from tests.fakes.model import FakeModel, FakeModels
from tests.fakes.runtime import FakeRuntimes
from tests.support.session_harness import LONG, our_tasks
from tests.support.store_entries import NOW

TALK = ConversationId("talk")
ADA, BOB = OwnerId("ada"), OwnerId("bob")


@dataclass(kw_only=True)
class ServiceLayer:
    """The parts of a server without its edges; another over the same store and files is the next server."""

    store: SessionStore
    files: FileStore = field(default_factory=MemoryFiles)
    models: FakeModels = field(default_factory=lambda: FakeModels(FakeModel([])))
    agents: Agents | None = None
    runtimes: Runtimes = field(default_factory=FakeRuntimes)
    layers: Sequence[Mapping[str, Any]] = ()
    max_sessions: int = 10
    per_user: int | None = None
    per_address: int | None = None
    max_conversations: int = 1_000
    max_stored_bytes: int = 10**9
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
        limits = SessionLimits(total=self.max_sessions, per_user=self.per_user, per_address=self.per_address)
        self.directory = SessionRegistry(self.parts, self.board, limits=limits, idle_timeout=self.idle_timeout)
        self.settings = SettingsStore(self.files, self.layers)
        initial = InitialInputStore(self.files)
        expected = ExpectedClients(self.files, self.store)
        self.sessions = SessionService(
            self.store,
            self.directory,
            self.settings,
            initial,
            self.now,
            expected=expected,
            limits=ConversationLimits(StoredLimits(self.max_conversations, self.max_stored_bytes)),
        )
        self.links = SignedLinks(b"a key for the links of a test, 32 bytes", lambda: NOW.timestamp())
        self._access = LocalAccess(
            self.sessions,
            self.runtimes,
            self.parts.memory,
            UploadLimits(),
            usage=partial(LocalUsage, self.store.accounts, self.parts.quotas, self.now),
            sharing=partial(LocalSharing, self.sessions, self.links, users_apart=True),
            states=partial(
                LocalStates,
                self.sessions,
                StateFiles(self.files),
                StateNews(None),
                checks=StateChecks(),
                users_apart=True,
            ),
        )
        self.gateway = self.of(LOCAL_OWNER).gateway
        self.conversations = self.of(LOCAL_OWNER).conversations

    def of(self, owner: OwnerId, address: str = "") -> Access:
        """The ports of one user."""
        return self._access.of(Principal(owner=owner, role=Role.USER, address=address))

    def by_link(self, link: SharedLink) -> Access:
        """The ports of whoever has a link."""
        return self._access.of(Principal(owner=OwnerId(LINK_PREFIX + link.id), role=Role.USER, link=link))

    def now(self) -> datetime:
        """A second later each time."""
        return NOW + timedelta(seconds=next(self._seconds))

    async def open(self, sid: str = "talk", owner: OwnerId = LOCAL_OWNER, **spec: Any) -> AgentSession:
        """Make or join a conversation, and wait until its session is set up."""
        await self.of(owner).gateway.open(SessionSpec(id=ConversationId(sid), create=True, **spec))
        session = self.directory.find(ConversationId(sid))
        assert session is not None
        async with asyncio.timeout(LONG):
            await session.settled()
        return session


@asynccontextmanager
async def running_service(service: ServiceLayer) -> AsyncIterator[ServiceLayer]:
    """Every session is closed at the end, and no task is left."""
    before = our_tasks()
    try:
        yield service
    finally:
        async with asyncio.timeout(LONG):
            await service.directory.close_all("shutdown")
    assert len(service.directory) == 0
    assert our_tasks() <= before, "a task is left behind"
