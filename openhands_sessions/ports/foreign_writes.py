"""Tells what other processes do to a store that they share with this one."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class ForeignWrites(Protocol):
    """When other processes may have written to the store."""

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """Gives a moment soon after each write, or several of them, that was durable after the block began; also some
        moments without one, and those of this process's own writes. Does not raise: where nothing can be watched, no
        moment comes."""
