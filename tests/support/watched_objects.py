"""Watches objects until they are freed, which without the garbage collector is only when no cycle keeps them."""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import ref

FREED_WITHIN = 30.0


class WatchedObjects:
    """All that there are of some kinds, when it is made."""

    def __init__(self, *kinds: type[Any]) -> None:
        self._last = asyncio.Event()
        self._left = {ref(one, self._freed): type(one) for one in gc.get_objects() if type(one) in kinds}
        if not self._left:
            self._last.set()

    def __len__(self) -> int:
        return len(self._left)

    async def freed(self) -> None:
        """Wait until the last one is."""
        try:
            async with asyncio.timeout(FREED_WITHIN):
                await self._last.wait()
        except TimeoutError:
            raise AssertionError(f"a cycle keeps {dict(Counter(self._left.values()))}") from None

    def _freed(self, one: "ref[Any]") -> None:
        del self._left[one]
        if not self._left:
            self._last.set()


@contextmanager
def no_collector() -> Iterator[None]:
    """The garbage collector rests for the length of the block."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
