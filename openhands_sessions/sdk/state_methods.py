"""The methods of a session that read and write its state, each with its async twin."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, overload

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.state_keys import StateKind, place_of
from openhands_sessions.sdk.lazy_conversation import LazyConversation
from openhands_sessions.sdk.opening import StateCalls
from openhands_sessions.sdk.private_loop import aiterate, arrive, iterate, wait_for
from openhands_sessions.sdk.scoped_state import ScopedState
from openhands_sessions.sdk.state_mapping import DictInState, StateMapping
from openhands_sessions.sdk.state_reading import StateDraft

PREFERENCE = "preference."
"""What the keys of preferences begin with, in the user's state."""
_ALL: Any = object()


def checked_mapping(values: object) -> Mapping[str, Any]:
    """Raises BadInput."""
    if not isinstance(values, Mapping):
        raise BadInput("state", f"must be a mapping, or a key and a value, not {type(values).__name__}")
    return values


class StateMethods(LazyConversation):
    """JSON values by key. A key without a prefix is the session's; `user:k` is seen by all sessions of the user,
    `app:k` by all of the program, and `temp:k` is in the memory of this process. State needs no turn and waits for
    none. The session's goes back with its history, the others stay.

    All raise UnstorableValue for what JSON has not, TooLarge, StorageError."""

    @property
    def state(self) -> MutableMapping[str, Any]:
        """Values by key; each one is a copy."""
        return StateMapping(self._scope, wait_for)

    @overload
    def get_state(self) -> dict[str, Any]: ...
    @overload
    def get_state(self, key: str, default: Any = None) -> Any: ...
    def get_state(self, key: Any = _ALL, default: Any = None) -> Any:
        """All that the session's state has, or the value of one key."""
        return wait_for(self._get(key, default), "get_state")

    @overload
    async def aget_state(self) -> dict[str, Any]: ...
    @overload
    async def aget_state(self, key: str, default: Any = None) -> Any: ...
    async def aget_state(self, key: Any = _ALL, default: Any = None) -> Any:
        """As `get_state`."""
        return await arrive(self._get(key, default))

    @overload
    def set_state(self, state: Mapping[str, Any], /) -> None: ...
    @overload
    def set_state(self, key: str, value: Any, /) -> None: ...
    def set_state(self, key: Any, value: Any = _ALL, /) -> None:
        """Set one key; or, given a mapping, set the session's state to it. Raises RevisionConflict where another writer
        changes what the mapping changes."""
        wait_for(self._set(key, value), "set_state")

    @overload
    async def aset_state(self, state: Mapping[str, Any], /) -> None: ...
    @overload
    async def aset_state(self, key: str, value: Any, /) -> None: ...
    async def aset_state(self, key: Any, value: Any = _ALL, /) -> None:
        """As `set_state`."""
        await arrive(self._set(key, value))

    def delete_state(self, key: str) -> None:
        """Delete one key; one that is not there stays so."""
        scope, name = self._at(key)
        wait_for(scope.delete(name), "delete_state")

    async def adelete_state(self, key: str) -> None:
        """As `delete_state`."""
        scope, name = self._at(key)
        await arrive(scope.delete(name))

    def incr(self, key: str, by: float = 1) -> Any:
        """Add to a number, which is 0 where the key is not there; the sum. Writers at the same time all count."""
        scope, name = self._at(key)
        return wait_for(scope.incr(name, by), "incr")

    async def aincr(self, key: str, by: float = 1) -> Any:
        """As `incr`."""
        scope, name = self._at(key)
        return await arrive(scope.incr(name, by))

    def append(self, key: str, item: Any) -> None:
        """Add an item at the end of a list, which is empty where the key is not there."""
        scope, name = self._at(key)
        wait_for(scope.append(name, item), "append")

    async def aappend(self, key: str, item: Any) -> None:
        """As `append`."""
        scope, name = self._at(key)
        await arrive(scope.append(name, item))

    def compare_and_set(self, key: str, expected: Any, value: Any) -> bool:
        """Set the value if it equals `expected`, None for a key that is not there; whether it was set."""
        scope, name = self._at(key)
        return wait_for(scope.compare_and_set(name, expected, value), "compare_and_set")

    async def acompare_and_set(self, key: str, expected: Any, value: Any) -> bool:
        """As `compare_and_set`."""
        scope, name = self._at(key)
        return await arrive(scope.compare_and_set(name, expected, value))

    @contextmanager
    def edit(self, kind: StateKind = "session") -> Iterator[StateDraft]:
        """A copy of one scope's state, as a dict; at the end of the block what was changed in it is written, together;
        after an exception, nothing. Raises RevisionConflict where another writer has changed one of the same keys."""
        draft = wait_for(self._scope(kind).draft(), "edit")
        yield draft
        wait_for(self._scope(kind).commit(draft), "edit")

    @asynccontextmanager
    async def aedit(self, kind: StateKind = "session") -> AsyncIterator[StateDraft]:
        """As `edit`."""
        draft = await arrive(self._scope(kind).draft())
        yield draft
        await arrive(self._scope(kind).commit(draft))

    @contextmanager
    def transaction(self, kind: StateKind = "session") -> Iterator[StateDraft]:
        """As `edit`; it is also refused where a key was changed that the block has only read."""
        draft = wait_for(self._scope(kind).draft(guards_reads=True), "transaction")
        yield draft
        wait_for(self._scope(kind).commit(draft), "transaction")

    @asynccontextmanager
    async def atransaction(self, kind: StateKind = "session") -> AsyncIterator[StateDraft]:
        """As `transaction`."""
        draft = await arrive(self._scope(kind).draft(guards_reads=True))
        yield draft
        await arrive(self._scope(kind).commit(draft))

    def update_with(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Set what the function makes of the value; it is called again where another writer was faster."""
        scope, name = self._at(key)
        return wait_for(scope.update_with(name, function, default), "update_with")

    async def aupdate_with(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """As `update_with`."""
        scope, name = self._at(key)
        return await arrive(scope.update_with(name, function, default))

    def watch_state(self, *keys: str, kind: StateKind = "session") -> Iterator[dict[str, Any]]:
        """The values of these keys of one scope, or of all: as they are, then whenever a process has changed them,
        without end. Changes that come fast are told as one."""
        return iterate(self._scope(kind).watch(keys), "watch_state")

    def awatch_state(self, *keys: str, kind: StateKind = "session") -> AsyncIterator[dict[str, Any]]:
        """As `watch_state`."""
        return aiterate(self._scope(kind).watch(keys))

    @property
    def user_data(self) -> MutableMapping[str, Any]:
        """What the program knows of the user in this session: a dict in the session's state."""
        return DictInState(self._scope("session"), "user_data", wait_for)

    @user_data.setter
    def user_data(self, values: Mapping[str, Any]) -> None:
        self.set_state("user_data", dict(values))

    @property
    def metadata(self) -> MutableMapping[str, Any]:
        """What the program notes of the session: a dict in the session's state."""
        return DictInState(self._scope("session"), "metadata", wait_for)

    @metadata.setter
    def metadata(self, values: Mapping[str, Any]) -> None:
        self.set_state("metadata", dict(values))

    @property
    def results(self) -> list[dict[str, Any]]:
        """What `add_result` has added, oldest first: each has a `name` and a `result`."""
        found: list[dict[str, Any]] = self.get_state("results", [])
        return found

    def add_result(self, name: str, result: Any) -> None:
        """Add to the session's results."""
        self.append("results", {"name": name, "result": result})

    async def aadd_result(self, name: str, result: Any) -> None:
        """As `add_result`."""
        await self.aappend("results", {"name": name, "result": result})

    @property
    def preferences(self) -> dict[str, Any]:
        """Those of the user, by name."""
        return wait_for(self._preferences(), "preferences")

    def update_preference(self, name: str, value: Any) -> None:
        """Set a preference of the user, which all the user's sessions see; it stays where a history goes back."""
        self.set_state(f"user:{PREFERENCE}{name}", value)

    async def aupdate_preference(self, name: str, value: Any) -> None:
        """As `update_preference`."""
        await self.aset_state(f"user:{PREFERENCE}{name}", value)

    @property
    def profile(self) -> MutableMapping[str, Any]:
        """What is known of the user in this session: a dict in its state, which goes back with its history."""
        return DictInState(self._scope("session"), "profile", wait_for)

    def update_profile(self, name: str, value: Any) -> None:
        """Set one thing that is known of the user."""
        self.profile[name] = value

    async def aupdate_profile(self, name: str, value: Any) -> None:
        """As `update_profile`."""
        await self.aupdate_with("profile", lambda found: {**found, name: value}, {})

    def _at(self, key: str) -> tuple[ScopedState, str]:
        kind, name = place_of(key)
        return self._scope(kind), name

    def _scope(self, kind: StateKind) -> ScopedState:
        async def calls() -> StateCalls:
            return (await self._calls()).states[kind]

        return ScopedState(calls)

    async def _get(self, key: Any, default: Any) -> Any:
        if key is _ALL:
            return await self._scope("session").snapshot()
        scope, name = self._at(key)
        return await scope.get(name, default)

    async def _set(self, key: Any, value: Any) -> None:
        if value is _ALL:
            await self._scope("session").replace(checked_mapping(key))
            return
        scope, name = self._at(key)
        await scope.set({name: value})

    async def _preferences(self) -> dict[str, Any]:
        values = await self._scope("user").snapshot()
        return {key.removeprefix(PREFERENCE): value for key, value in values.items() if key.startswith(PREFERENCE)}
