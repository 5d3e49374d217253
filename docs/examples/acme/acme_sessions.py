"""A model and a store that a package of yours adds: `llm.model = "acme:loud"`, `store.kind = "acme"`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from openhands_sessions.adapters.stores.leases import Holder
from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.ports.model import (
    ChatModel,
    ChatModels,
    LostCall,
    ModelReply,
    ModelRequest,
    ModelSpec,
    Retry,
    Usage,
)
from openhands_sessions.ports.store import SessionStore, StoreOptions


class LoudModel:
    """Says what it was told, in capitals."""

    vision = False
    window: int | None = None

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(
        self,
        request: ModelRequest,
        on_text: Callable[[str], None],
        on_retry: Callable[[Retry], None],
        on_thought: Callable[[str], None] = lambda text: None,
        on_lost: Callable[[LostCall], None] = lambda call: None,
    ) -> ModelReply:
        said = str(request.messages[-1]["content"]).upper()
        on_text(said)
        return ModelReply(id=uuid4().hex, text=said, usage=Usage(cost=0), model=self.name)

    def price(self, usage: Usage) -> int | None:
        return 0


class LoudModels:
    """Opens the models of this kind."""

    async def open(self, spec: ModelSpec) -> ChatModel:
        return LoudModel(spec.name)


@asynccontextmanager
async def open_models() -> AsyncIterator[ChatModels]:
    """Open what all models share; the end of the block closes it."""
    yield LoudModels()


@asynccontextmanager
async def open_store(options: StoreOptions) -> AsyncIterator[SessionStore]:
    """A store whose place comes from `store.url`: `acme:///the/file`."""
    place = Path(urlsplit(options.url or "").path)
    async with open_sqlite(place, Holder(ttl=options.lease_ttl)) as store:
        yield store
