"""Where conversations are: in this process, over the data folder, or on a server."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from openhands_sessions import bootstrap
from openhands_sessions.config.config import Config
from openhands_sessions.core.errors import SessionsError
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.ports.gateway import Gateway, SessionInfo
from openhands_sessions.service.history import History


class ConversationArchive(Protocol):
    """The conversations that are kept, live or not."""

    async def page(self, limit: int, page_id: str | None) -> tuple[Sequence[SessionInfo], str | None]:
        """Up to `limit` of them, fewer where the place gives no more at once, newest first, and where the next page
        begins; None on the last."""

    async def describe(self, sid: ConversationId) -> SessionInfo:
        """Raises NotFound."""

    def export(self, sid: ConversationId) -> AsyncIterator[bytes]:
        """The trajectory as a JSON list, in pieces. Raises NotFound."""

    async def delete(self, sid: ConversationId) -> bool:
        """False where there was none."""


@dataclass(frozen=True, slots=True)
class Target:
    """One place, open."""

    gateway: Gateway
    archive: ConversationArchive


class LocalConversationArchive:
    """That of the data folder."""

    def __init__(self, history: History, gateway: Gateway) -> None:
        self._history = history
        self._gateway = gateway

    async def page(self, limit: int, page_id: str | None) -> tuple[Sequence[SessionInfo], str | None]:
        found = await self._history.page(LOCAL_OWNER, limit=limit, page_id=page_id)
        return found.conversations, found.next_page

    async def describe(self, sid: ConversationId) -> SessionInfo:
        await self._history.find(LOCAL_OWNER, sid)
        return await self._gateway.describe(sid)

    async def export(self, sid: ConversationId) -> AsyncIterator[bytes]:
        await self._history.find(LOCAL_OWNER, sid)
        before = "["
        async for batch in self._history.trajectory(sid):
            if batch:
                yield f"{before}{','.join([entry.text for entry in batch])}".encode()
                before = ","
        yield b"]" if before == "," else b"[]"

    async def delete(self, sid: ConversationId) -> bool:
        return await self._history.delete(LOCAL_OWNER, sid)


@asynccontextmanager
async def opened(config: Config, server: str | None) -> AsyncIterator[Target]:
    """The server's place, or with None the data folder's. Raises SessionsError."""
    if server is not None:
        key = config.server.session_api_key
        async with bootstrap.remote(server, None if key is None else key.get_secret_value()) as remote:
            yield Target(remote.gateway, remote.archive)
        return
    async with house(config) as local:
        yield Target(local.gateway, LocalConversationArchive(local.history, local.gateway))


@asynccontextmanager
async def house(config: Config) -> AsyncIterator[bootstrap.Application]:
    """Everything of this process, open. Raises SessionsError, also for a data folder that cannot be used."""
    async with AsyncExitStack() as stack:
        try:
            found = await stack.enter_async_context(bootstrap.open_application(config))
        except OSError as error:
            problem = error.strerror or str(error)
            raise SessionsError(f"the data folder {config.data_dir} cannot be used: {problem}") from error
        yield found
