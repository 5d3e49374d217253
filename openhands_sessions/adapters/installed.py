"""Kinds of stores and of models that other installed packages bring, by their entry points."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Final, Self

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.settings import nearest
from openhands_sessions.ports.model import ChatModels

STORES: Final = "openhands_sessions.stores"
"""Each entry point is called with StoreOptions, and gives an async context manager with a SessionStore."""
MODELS: Final = "openhands_sessions.models"
"""Each entry point is called without arguments, and gives an async context manager with ChatModels."""


@cache
def installed(group: str) -> Sequence[str]:
    """The names of a group's kinds, sorted. The first call looks through all installed packages."""
    return sorted(entry_points(group=group).names)


def load_kind(group: str, name: str, field: str, built_in: Sequence[str]) -> Callable[..., Any]:
    """What the entry point of this name stands for. Raises BadInput of `field` where there is none, or where it cannot
    be loaded; `built_in` are the other names."""
    for entry in entry_points(group=group, name=name):
        try:
            loaded: Callable[..., Any] = entry.load()
        except Exception as error:
            raise BadInput(field, f"names {name!r}, which cannot be loaded: {type(error).__name__}: {error}") from error
        return loaded
    known = (*built_in, *installed(group))
    raise BadInput(field, f"must be one of {', '.join(known)}{nearest(name, known)}")


class InstalledModels:
    """The families of models of other packages. Each is opened at its first use; the end of the block closes them."""

    def __init__(self) -> None:
        self._opened: dict[str, ChatModels] = {}
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._stack.aclose()

    async def family(self, name: str) -> ChatModels | None:
        """None where no package brings it. Raises BadInput."""
        async with self._opening:
            if name not in self._opened:
                if name not in installed(MODELS):
                    return None
                kind = await asyncio.to_thread(load_kind, MODELS, name, "llm.model", ())
                opening: AbstractAsyncContextManager[ChatModels] = kind()
                self._opened[name] = await self._stack.enter_async_context(opening)
        return self._opened[name]
