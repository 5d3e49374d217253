"""A whole server in the test's own process, and ways to read what a gateway's followers get."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from openhands_sessions.bootstrap.application import Application, open_application
from openhands_sessions.bootstrap.tls import open_tls
from openhands_sessions.bootstrap.web import web_application
from openhands_sessions.config.config import AuthSection, Config
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.gateway import Delta, FeedItem, Gateway, SessionClosed, SessionEnded, Status
from openhands_sessions.server.app import listening

PATIENCE = 10.0


@dataclass(frozen=True)
class InProcessServer:
    """An application, and where it is reached."""

    house: Application
    port: int

    @property
    def url(self) -> str:
        return f"{'http' if self.house.config.server.tls_key is None else 'https'}://127.0.0.1:{self.port}"


@asynccontextmanager
async def in_process_server(config: Config, port: int = 0) -> AsyncIterator[InProcessServer]:
    """A server on loopback for the length of the block, open unless the configuration says who may call."""
    limits = config.limits.model_copy(update={"creates_per_minute": 0.0, "requests_per_second": 0.0})
    config = config.model_copy(update={"limits": limits})
    if config.server.session_api_key is None and not config.tells_users_apart:
        config = config.model_copy(update={"auth": AuthSection(kind="open")})
    async with open_application(config) as house:
        app = await web_application(house)
        async with open_tls(config) as tls, listening(app, "127.0.0.1", port, grace=2.0, tls=tls) as found:
            yield InProcessServer(house, found)


async def read(gateway: Gateway, sid: ConversationId, after: int, until: Callable[[Stored], bool]) -> list[Stored]:
    """The events behind `after`, up to the first that `until` is true of."""
    return [item for item in await hear(gateway, sid, after, until) if isinstance(item, Stored)]


async def hear(
    gateway: Gateway, sid: ConversationId, after: int, until: Callable[[Stored], bool]
) -> list[Stored | Delta | Status]:
    """As `read`, with all that comes in between."""
    heard: list[Stored | Delta | Status] = []
    async with asyncio.timeout(PATIENCE), gateway.follow(sid, after) as news:
        async for item in news:
            if isinstance(item, SessionClosed):
                raise SessionEnded(item.reason)
            for each in [item] if isinstance(item, Delta | Status) else item:
                heard.append(each)
                if isinstance(each, Stored) and until(each):
                    return heard
    raise AssertionError("following ended without a word")


async def following(news: AsyncIterator[FeedItem], until: Callable[[Stored], bool]) -> list[Stored]:
    """From news that are followed already: the events up to the first that `until` is true of."""
    found: list[Stored] = []
    async for item in news:
        for each in () if isinstance(item, Delta | Status | SessionClosed) else item:
            found.append(each)
            if until(each):
                return found
    raise AssertionError("following ended without a word")


def state(name: str) -> Callable[[Stored], bool]:
    """True of the change to an agent's state."""
    return lambda entry: entry.kind == "observation:agent_state_changed" and f'"agent_state":"{name}"' in entry.text


def turn_ends(entry: Stored) -> bool:
    return entry.kind == "observation:turn_ended"


def numbered(last: int) -> Callable[[Stored], bool]:
    return lambda entry: entry.id >= last
