"""An application for the sessions of a Python program, in its own process."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from openhands_sessions.adapters.runtimes.none import NoSandboxes
from openhands_sessions.adapters.session_files import read_session_file as read_session_file
from openhands_sessions.adapters.session_files import write_session_file as write_session_file
from openhands_sessions.bootstrap.application import Application, open_application
from openhands_sessions.bootstrap.kinds import database
from openhands_sessions.config.config import Config
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.config.loading import load
from openhands_sessions.core.errors import BadInput, StorageUnavailable
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.ports.access import Access, Principal, Role
from openhands_sessions.ports.mcp import McpTools
from openhands_sessions.ports.program import ProgramAgent
from openhands_sessions.ports.state import StateScope
from openhands_sessions.service.log_restoring import LoadedLog as LoadedLog
from openhands_sessions.service.log_restoring import LogRestoring
from openhands_sessions.service.log_restoring import RestoreOutcome as RestoreOutcome

IDLE_TIMEOUT = 1.0
"""Seconds until a session that has nothing to do gives its conversation's lease back, so that another process may have
it."""
SQLITE = "sqlite:///"
MEMORY = "memory:"
SESSIONS = 100_000
"""Of one program, live at once: it is no server that others could fill."""


class Library:
    """An open application, as a program uses it."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._registry = application.sessions.registry

    @property
    def database(self) -> Path:
        """Where a store of the kind `sqlite` is."""
        return database(self._application.config)

    def of(self, owner: OwnerId) -> Access:
        """The ports of one user. The user who runs the program has the role of an operator."""
        return self._application.access.of(Principal(owner=owner, role=Role.OPERATOR))

    def state_moments(self, scope: StateScope) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """When a state may have changed, see StateNews."""
        return self._application.state_news.watch(scope)

    async def run(self, sid: ConversationId, agent: ProgramAgent) -> None:
        """Have the program run this conversation with this agent. A session that works goes on as it is."""
        if self._registry.programs.get(sid) is agent:
            return
        self._registry.programs.put(sid, agent)
        session = self._registry.find(sid)
        if session is not None and not session.busy:
            await self._registry.close(sid, "idle")

    def works(self, sid: ConversationId) -> bool:
        """Whether a session has something to do in this process."""
        session = self._registry.find(sid)
        return session is not None and session.busy and session.accepting

    async def take_in(self, loaded: LoadedLog) -> tuple[RestoreOutcome, str | None]:
        """Take the log and the state of a session file into the store; see `LogRestoring.take_in`."""
        taken = await LogRestoring(self._application.sessions).take_in(loaded)
        self._application.state_news.changed(StateScope.session(loaded.id))
        return taken

    def forget(self, sid: ConversationId, agent: ProgramAgent) -> None:
        """The agent is not needed any more, until the conversation is run again."""
        self._registry.programs.forget(sid, agent)


@asynccontextmanager
async def open_library(store: str | None, environ: Mapping[str, str] = os.environ) -> AsyncIterator[Library]:
    """A library that stores in `store`: `sqlite:///FILE`, or `memory:`, which does not last; None for the
    database of the user's data folder. The rest is configured as a server is. Raises BadInput, StorageError."""
    async with AsyncExitStack() as stack:
        try:
            config = load({}, environ, None).config
        except ConfigError as error:
            raise BadInput(error.origin, f"is wrong: {error.problem}") from None
        if store == MEMORY:
            folder = stack.enter_context(TemporaryDirectory(prefix="openhands-sessions-"))
            config = _changed(config, {"kind": "memory"}, Path(folder))
        elif store is not None:
            file = file_of(store)
            config = _changed(config, {"kind": "sqlite", "path": file}, file.with_name(f"{file.name}.files"))
        server = config.server.model_copy(update={"idle_timeout": IDLE_TIMEOUT, "max_sessions": SESSIONS})
        try:
            application = await stack.enter_async_context(
                open_application(config.model_copy(update={"server": server}))
            )
        except OSError as error:
            raise StorageUnavailable(f"the sessions cannot be stored: {error.strerror or error}") from error
        yield Library(application)


def file_of(store: str) -> Path:
    """The database that an address names; three slashes before a relative path, four before an absolute one. Raises
    BadInput."""
    path = store.removeprefix(SQLITE)
    if path == store or not path or "\0" in path:
        raise BadInput("store", "must be sqlite:///FILE, or memory:, or left out for the user's data folder")
    return Path(path).expanduser().absolute()


def program_agent(
    prompt: str,
    settings: Mapping[str, Json],
    functions: McpTools,
    *,
    sandbox: bool,
    name: str | None = None,
    app: str = "default",
) -> ProgramAgent:
    """What a program gives to a session, see ProgramAgent."""
    runtimes = None if sandbox else NoSandboxes()
    return ProgramAgent(settings=settings, prompt=prompt, functions=functions, runtimes=runtimes, name=name, app=app)


def _changed(config: Config, store: Mapping[str, object], folder: Path) -> Config:
    return config.model_copy(update={"store": config.store.model_copy(update=dict(store)), "data_dir": folder})
