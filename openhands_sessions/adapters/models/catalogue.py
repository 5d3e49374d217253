"""Which models there are: the names that litellm knows, and the choice of the family by a model's name."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import orjson

from openhands_sessions.adapters.models.openhands_provider import NAMES
from openhands_sessions.ports.model import ChatModel, ChatModels, ModelSpec

LIST = "model_prices_and_context_window_backup.json"
_SPEAKING = ("chat", "responses")


class Catalogue:
    """litellm's models, read from its price list without importing litellm, and those of the provider `openhands`; none
    of both if there is no list. With them the operator's `own` model."""

    def __init__(self, own: str | None = None) -> None:
        self._own = own
        self._names: Sequence[str] | None = None
        self._reading = asyncio.Lock()

    async def names(self) -> Sequence[str]:
        """Names of chat models, sorted. The first call reads the file."""
        async with self._reading:
            if self._names is None:
                self._names = await asyncio.to_thread(_read, self._own)
        return self._names


def _read(own: str | None) -> Sequence[str]:
    others = set() if own is None else {own}
    spec = find_spec("litellm")
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    try:
        listed = orjson.loads(Path(folders[0], LIST).read_bytes())
    except (IndexError, OSError, orjson.JSONDecodeError):
        return tuple(others)
    known = {name for name, about in listed.items() if isinstance(about, dict) and about.get("mode") in _SPEAKING}
    return tuple(sorted({*known, *NAMES, *others}))


class Providers(ChatModels, Protocol):
    """Models whose library takes seconds to load."""

    async def preload(self) -> None:
        """Load it before a conversation needs it, giving way to the event loop."""


class ModelChoice:
    """`scripted` and `scripted:NAME` open a scripted model, `KIND:NAME` one of an installed kind, every other name
    one of a provider."""

    def __init__(
        self, scripted: ChatModels, providers: Providers, installed: Callable[[str], Awaitable[ChatModels | None]]
    ) -> None:
        self._scripted = scripted
        self._providers = providers
        self._installed = installed

    async def preload(self, name: str) -> None:
        """Load what a model of this name needs, giving way to the event loop. Raises BadInput."""
        if await self._family(name) is self._providers:
            await self._providers.preload()

    async def open(self, spec: ModelSpec) -> ChatModel:
        return await (await self._family(spec.name)).open(spec)

    async def _family(self, name: str) -> ChatModels:
        kind, colon, _ = name.partition(":")
        if kind == "scripted":
            return self._scripted
        return (await self._installed(kind) if colon else None) or self._providers
