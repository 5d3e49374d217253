"""What a command speaks to: the data folder, in this process, or a server."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from openhands_sessions import bootstrap
from openhands_sessions.config.config import Config
from openhands_sessions.core.errors import SessionsError
from openhands_sessions.ports.access import Access


@asynccontextmanager
async def opened(config: Config, server: str | None) -> AsyncIterator[Access]:
    """The ports of the server's caller, or with None of the data folder's user. Raises SessionsError."""
    if server is not None:
        key = config.server.session_api_key
        async with bootstrap.remote(server, None if key is None else key.get_secret_value()) as access:
            yield access
        return
    async with application(config) as found:
        yield found.local


@asynccontextmanager
async def application(config: Config) -> AsyncIterator[bootstrap.Application]:
    """Everything of this process, open. Raises SessionsError, also for a data folder that cannot be used."""
    async with AsyncExitStack() as stack:
        try:
            found = await stack.enter_async_context(bootstrap.open_application(config))
        except OSError as error:
            problem = error.strerror or str(error)
            raise SessionsError(f"the data folder {config.data_dir} cannot be used: {problem}") from error
        yield found
