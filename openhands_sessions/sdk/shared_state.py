"""State that the agents of a session share, and the functions of its program."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from openhands_sessions.core.errors import BadInput, RevisionConflict
from openhands_sessions.core.state import StateOp, StateOperation
from openhands_sessions.core.state_values import checked_key
from openhands_sessions.sdk.held_state import HeldState
from openhands_sessions.sdk.opening import Opening, SessionCalls, StateCalls
from openhands_sessions.sdk.private_loop import aiterate, arrive, iterate, wait_for
from openhands_sessions.sdk.scoped_state import MOST_TRIES, ScopedState
from openhands_sessions.sdk.state_reading import StateDraft

T = TypeVar("T")


class SharedState:
    """JSON values by key, which any thread and any process may change at once. Alone, it is in the memory of this
    process; a session to which it was given (`Session(shared_state=...)`) keeps it as its state. What it had before is
    then written together; keys that the session has already stay as they are.

    Values are copies. Raises UnstorableValue for what JSON has not, TooLarge, BadInput; then nothing has changed."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._held = HeldState("program")
        self._scope = ScopedState(self._calls)
        self._place: tuple[str | None, str] | None = None
        self._open: Callable[[], Coroutine[Any, Any, SessionCalls]] | None = None
        self._filled = False
        if values:
            self.update(values)

    def bind(self, opening: Opening, open: Callable[[], Coroutine[Any, Any, SessionCalls]]) -> None:
        """Be the state of this session from now on. Raises BadInput where it is another's."""
        place = (opening.store, opening.sid)
        if self._place not in (None, place):
            raise BadInput("shared_state", "is the state of another session: make one for each")
        self._place, self._open = place, open

    async def fill(self, stored: StateCalls) -> None:
        """Write what was set before it was bound, once."""
        if self._filled:
            return
        values = (await self._held.read()).values
        for _ in range(MOST_TRIES):
            there = (await stored.read()).values
            missing = [StateOperation(StateOp.SET, key, value) for key, value in values.items() if key not in there]
            if not missing:
                break
            try:
                await stored.change(missing, {each.key: 0 for each in missing})
            except RevisionConflict:
                continue
            break
        self._filled = True

    def get(self, key: str, default: Any = None) -> Any:
        return self._wait(self._scope.get(checked_key(key), default), "get")

    async def aget(self, key: str, default: Any = None) -> Any:
        return await self._arrive(self._scope.get(checked_key(key), default))

    def set(self, key: str, value: Any) -> None:
        self._wait(self._scope.set({key: value}), "set")

    async def aset(self, key: str, value: Any) -> None:
        await self._arrive(self._scope.set({key: value}))

    def __getitem__(self, key: str) -> Any:
        missing = object()
        if (value := self.get(key, missing)) is missing:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        self[key]
        self.delete(key)

    def __contains__(self, key: object) -> bool:
        missing = object()
        return isinstance(key, str) and self.get(key, missing) is not missing

    def __repr__(self) -> str:
        return "SharedState()" if self._place is None else f"SharedState() of session {self._place[1]!r}"

    def update(self, values: Mapping[str, Any]) -> None:
        """Set all of them, together."""
        self._wait(self._scope.set(values), "update")

    async def aupdate(self, values: Mapping[str, Any]) -> None:
        """As `update`."""
        await self._arrive(self._scope.set(values))

    def delete(self, key: str) -> None:
        """One that is not there stays so."""
        self._wait(self._scope.delete(key), "delete")

    async def adelete(self, key: str) -> None:
        """As `delete`."""
        await self._arrive(self._scope.delete(key))

    def incr(self, key: str, by: float = 1) -> Any:
        """Add to a number, which is 0 where the key is not there; the sum."""
        return self._wait(self._scope.incr(key, by), "incr")

    async def aincr(self, key: str, by: float = 1) -> Any:
        """As `incr`."""
        return await self._arrive(self._scope.incr(key, by))

    def append(self, key: str, item: Any) -> None:
        """Add an item at the end of a list, which is empty where the key is not there."""
        self._wait(self._scope.append(key, item), "append")

    async def aappend(self, key: str, item: Any) -> None:
        """As `append`."""
        await self._arrive(self._scope.append(key, item))

    def compare_and_set(self, key: str, expected: Any, value: Any) -> bool:
        """Set the value if it equals `expected`, None for a key that is not there; whether it was set."""
        return self._wait(self._scope.compare_and_set(key, expected, value), "compare_and_set")

    async def acompare_and_set(self, key: str, expected: Any, value: Any) -> bool:
        """As `compare_and_set`."""
        return await self._arrive(self._scope.compare_and_set(key, expected, value))

    def update_with(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Set what the function makes of the value; it is called again where another writer was faster."""
        return self._wait(self._scope.update_with(key, function, default), "update_with")

    async def aupdate_with(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """As `update_with`."""
        return await self._arrive(self._scope.update_with(key, function, default))

    @contextmanager
    def transaction(self) -> Iterator[StateDraft]:
        """A copy of all, as a dict; at the end of the block what was changed in it is written, together. Raises
        RevisionConflict where another writer has changed what the block has read or changed."""
        draft = self._wait(self._scope.draft(guards_reads=True), "transaction")
        yield draft
        self._wait(self._scope.commit(draft), "transaction")

    @asynccontextmanager
    async def atransaction(self) -> AsyncIterator[StateDraft]:
        """As `transaction`."""
        draft = await self._arrive(self._scope.draft(guards_reads=True))
        yield draft
        await self._arrive(self._scope.commit(draft))

    def watch(self, *keys: str) -> Iterator[dict[str, Any]]:
        """The values of these keys, or of all: as they are, then whenever they have changed, without end."""
        return iterate(self._scope.watch(keys), "watch")

    def awatch(self, *keys: str) -> AsyncIterator[dict[str, Any]]:
        """As `watch`."""
        return aiterate(self._scope.watch(keys))

    def history(self, limit: int = 1_000, *, after: int = 0) -> list[dict[str, Any]]:
        """The changes that follow the revision `after`, oldest first: each has `revision`, `actor`, `timestamp` and
        `operations`. In memory, the newest thousand are kept."""
        return self._wait(self._scope.history(limit, after), "history")

    async def ahistory(self, limit: int = 1_000, *, after: int = 0) -> list[dict[str, Any]]:
        """As `history`."""
        return await self._arrive(self._scope.history(limit, after))

    def snapshot(self) -> dict[str, Any]:
        """All values, as one moment has left them."""
        return self._wait(self._scope.snapshot(), "snapshot")

    async def asnapshot(self) -> dict[str, Any]:
        """As `snapshot`."""
        return await self._arrive(self._scope.snapshot())

    async def _calls(self) -> StateCalls:
        return self._held if self._open is None else (await self._open()).states["session"]

    def _wait(self, work: Coroutine[Any, Any, T], name: str) -> T:
        return _at_once(work) if self._open is None else wait_for(work, name)

    async def _arrive(self, work: Coroutine[Any, Any, T]) -> T:
        return _at_once(work) if self._open is None else await arrive(work)


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that waits for nothing, as that on a state in memory does."""
    try:
        work.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    work.close()
    raise AssertionError("a state in memory does not wait")
