"""The stores that this process has open for its sessions, with the engine over each."""

import asyncio
import logging
import sys
from collections.abc import Mapping
from weakref import WeakKeyDictionary, WeakValueDictionary

import structlog

from openhands_sessions.bootstrap.library import Library, open_library
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.core.state_keys import StateKind
from openhands_sessions.sdk.files import SessionFiles
from openhands_sessions.sdk.held_state import HeldState
from openhands_sessions.sdk.history import SessionHistory
from openhands_sessions.sdk.opening import Opening, StateCalls
from openhands_sessions.sdk.private_loop import PrivateLoop, private_loop
from openhands_sessions.sdk.program_conversation import ProgramConversation
from openhands_sessions.sdk.stored_state import StoredState

LOGGER = "openhands_sessions"


class Engines:
    """Those of one private loop. Called on it."""

    def __init__(self) -> None:
        self._open: dict[str | None, _Engine] = {}

    async def session(self, opening: Opening) -> "OpenedSession":
        """The conversation of a session; its store is opened when it is first asked for. Raises BadInput,
        StorageError."""
        engine = self._open.get(opening.store)
        if engine is None or engine.failed:
            engine = self._open[opening.store] = _Engine(opening.store)
        library = await engine.library()
        temporary = engine.temporary.setdefault(opening.sid, HeldState(opening.owner or LOCAL_OWNER))
        return OpenedSession(library, ProgramConversation(library, opening, engine.busy), temporary)

    async def close(self) -> None:
        """Close every session, then the stores."""
        await asyncio.gather(*(engine.close() for engine in self._open.values()))


class OpenedSession:
    """What a session calls, see `opening.SessionCalls`."""

    def __init__(self, library: Library, conversation: ProgramConversation, temporary: HeldState) -> None:
        self.conversation = conversation
        self.moves = SessionHistory(conversation)
        self.files = SessionFiles(conversation)
        self.states: Mapping[StateKind, StateCalls] = {
            "session": StoredState(library, conversation, "session"),
            "user": StoredState(library, conversation, "user"),
            "app": StoredState(library, conversation, "app"),
            "temp": temporary,
        }


class _Engine:
    """One store, open in a task of its own: what is opened in a task is closed in it."""

    def __init__(self, store: str | None) -> None:
        self.busy: set[ConversationId] = set()
        self.temporary: WeakValueDictionary[ConversationId, HeldState] = WeakValueDictionary()
        self._store = store
        self._ending = asyncio.Event()
        self._opened: asyncio.Future[Library] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._run(), name="sessions of the program")

    @property
    def failed(self) -> bool:
        """Whether it could not be opened."""
        return self._opened.done() and self._opened.exception() is not None

    async def library(self) -> Library:
        return await asyncio.shield(self._opened)

    async def close(self) -> None:
        self._ending.set()
        await asyncio.wait([self._life])

    async def _run(self) -> None:
        log_to_logging()
        try:
            async with open_library(self._store) as library:
                if self._store is None:
                    sys.stderr.write(
                        f"openhands_sessions: sessions are stored in {library.database} (store=... chooses)\n"
                    )
                self._opened.set_result(library)
                await self._ending.wait()
        except Exception as error:
            if self._opened.done():
                logging.getLogger(LOGGER).exception("the sessions could not be closed")
            else:
                self._opened.set_exception(error)


def log_to_logging() -> None:
    """Have the package's log go where the program's other logs go, unless the program has configured structlog."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )


_engines: WeakKeyDictionary[PrivateLoop, Engines] = WeakKeyDictionary()


def engines() -> Engines:
    """Those of this process; called on its private loop."""
    private = private_loop()
    found = _engines.get(private)
    if found is None:
        found = _engines[private] = Engines()
        private.at_end(found.close)
    return found
