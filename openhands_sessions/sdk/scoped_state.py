"""What a program does with the state of one scope, whether it is stored or held in memory."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from openhands_sessions.core.errors import RevisionConflict
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.state import StateOp, StateOperation, dump_operation
from openhands_sessions.sdk.opening import StateCalls
from openhands_sessions.sdk.state_reading import StateDraft

MOST_TRIES = 100
"""Of a change that is made from what was read."""
_MISSING = object()


class ScopedState:
    """The state behind `calls`. Values are copies; what is refused changes nothing."""

    def __init__(self, calls: Callable[[], Awaitable[StateCalls]]) -> None:
        self._calls = calls

    async def get(self, key: str, default: Any = None) -> Any:
        return (await (await self._calls()).read(key)).values.get(key, default)

    async def snapshot(self) -> dict[str, Any]:
        return dict((await (await self._calls()).read()).values)

    async def set(self, values: Mapping[str, Any]) -> None:
        """All of them together."""
        if values:
            await self._change(*(StateOperation(StateOp.SET, key, value) for key, value in values.items()))

    async def delete(self, key: str) -> None:
        await self._change(StateOperation(StateOp.DELETE, key))

    async def incr(self, key: str, by: float) -> Any:
        return (await self._change(StateOperation(StateOp.INCR, key, by)))[key]

    async def append(self, key: str, item: Any) -> None:
        await self._change(StateOperation(StateOp.APPEND, key, item))

    async def compare_and_set(self, key: str, expected: Any, value: Any) -> bool:
        try:
            await self._change(StateOperation(StateOp.COMPARE_AND_SET, key, value, expected))
        except RevisionConflict:
            return False
        return True

    async def update_with(self, key: str, function: Callable[[Any], Any], default: Any) -> Any:
        """Set what the function makes of the value; it is called again where another writer was faster. Raises
        RevisionConflict where that happens again and again, and what the function raises."""
        for tries in range(1, MOST_TRIES + 1):
            draft = await self.draft(key)
            draft[key] = made = function(draft.get(key, default))
            try:
                await self.commit(draft)
            except RevisionConflict:
                if tries == MOST_TRIES:
                    raise
            else:
                return made
        raise AssertionError("the last try returns or raises")

    async def replace(self, values: Mapping[str, Any]) -> None:
        """Set these values and delete all others. Raises RevisionConflict where another writer changes the same."""
        draft = await self.draft()
        for key in [*draft]:
            if key not in values:
                del draft[key]
        draft.update(values)
        await self.commit(draft)

    async def draft(self, *keys: str, guards_reads: bool = False) -> StateDraft:
        """Of these keys, or of all: to be changed, and then given to `commit`."""
        return StateDraft(await (await self._calls()).read(*keys), guards_reads=guards_reads)

    async def commit(self, draft: StateDraft) -> None:
        """Write what the draft changes, together. Raises RevisionConflict where one of the keys was changed by another
        writer since it was read."""
        operations = draft.operations()
        if not operations:
            return
        try:
            await (await self._calls()).change(operations, draft.bases(operations))
        except RevisionConflict as error:
            raise draft.conflict(error) from None

    async def history(self, limit: int, after: int) -> list[dict[str, Any]]:
        """Changes, oldest first."""
        return [
            {
                "revision": each.revision,
                "actor": each.change.actor,
                "timestamp": each.change.timestamp.isoformat(timespec="microseconds"),
                "operations": [dump_operation(operation) for operation in each.change.operations],
            }
            for each in await (await self._calls()).changes(after, limit)
        ]

    async def watch(self, keys: tuple[str, ...]) -> AsyncGenerator[dict[str, Any], None]:
        """The values of these keys, or of all: as they are, then whenever one of them has changed."""
        last: object = _MISSING
        async with aclosing((await self._calls()).watch()) as readings:
            async for reading in readings:
                values = {key: value for key, value in reading.values.items() if not keys or key in keys}
                if values != last:
                    last = values
                    yield values

    async def _change(self, *operations: StateOperation) -> Mapping[str, Json]:
        return (await (await self._calls()).change(operations)).values
