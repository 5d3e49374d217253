"""A state in the memory of this process."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import uuid4

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import UNNUMBERED
from openhands_sessions.core.state import (
    KeyedState,
    StateChange,
    StateEntry,
    StateOperation,
    added_size,
    apply,
    checked,
    merge,
)
from openhands_sessions.core.state_values import plain
from openhands_sessions.ports.state import NumberedChange
from openhands_sessions.sdk.state_reading import StateReading

KEPT_CHANGES = 1_000
"""That its history shows."""


class HeldState:
    """As stored ones are, for any thread; no call waits but that of `watch`."""

    def __init__(self, actor: str) -> None:
        self._actor = actor
        self._lock = threading.Lock()
        self._revision = 0
        self._entries: dict[str, StateEntry] = {}
        self._changes: deque[NumberedChange] = deque(maxlen=KEPT_CHANGES)
        self._wakers: set[Callable[[], None]] = set()

    async def read(self, *keys: str) -> StateReading:
        return reading_of(self._state(), {}, keys)

    async def change(
        self, operations: Sequence[StateOperation], bases: Mapping[str, int] | None = None
    ) -> StateReading:
        change = checked(
            StateChange(
                id=uuid4().hex,
                operations=tuple(operations),
                actor=self._actor,
                timestamp=datetime.now(UTC),
                bases=bases or {},
            )
        )
        with self._lock:
            after = apply(change, self._entries, self._revision + 1)
            added_size(self._entries, after, sum(entry.size for entry in self._entries.values()))
            merge(self._entries, after)
            self._revision += 1
            self._changes.append(NumberedChange(self._revision, UNNUMBERED, change))
            wakers = [*self._wakers]
        for wake in wakers:
            wake()
        return reading_of(self._state(), {}, change.keys)

    async def changes(self, after: int, limit: int) -> Sequence[NumberedChange]:
        with self._lock:
            return [each for each in self._changes if each.revision > after][:limit]

    async def watch(self) -> AsyncGenerator[StateReading, None]:
        """As it is, then as it is after changes."""
        changed, loop = asyncio.Event(), asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        self._wakers.add(wake)
        try:
            while True:
                changed.clear()
                yield await self.read()
                await changed.wait()
        finally:
            self._wakers.discard(wake)

    def _state(self) -> KeyedState:
        with self._lock:
            return KeyedState(self._revision, dict(self._entries))


def reading_of(state: KeyedState, files: Mapping[str, Json], keys: Sequence[str]) -> StateReading:
    """What a program is given of these keys, or of all: copies. `files` are the values that are kept as such."""
    found = {key: entry for key, entry in state.entries.items() if not keys or key in keys}
    values = {key: plain(entry.value, key) if entry.file is None else files[key] for key, entry in found.items()}
    return StateReading(state.revision, values, {key: entry.revision for key, entry in found.items()})
