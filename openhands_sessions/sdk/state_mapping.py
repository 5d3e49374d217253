"""The state of a program's session as a mapping, each access of which goes to the store."""

from collections.abc import Callable, Coroutine, Iterator, Mapping, MutableMapping
from typing import Any, Protocol, TypeVar

from openhands_sessions.core.state_keys import KINDS, StateKind, named, place_of
from openhands_sessions.sdk.scoped_state import ScopedState

T = TypeVar("T")


class Waiting(Protocol):
    """Waits for work on the private loop; `name` is what was called."""

    def __call__(self, work: Coroutine[Any, Any, T], name: str) -> T: ...


class StateMapping(MutableMapping[str, Any]):
    """Values by key, in all scopes. Each one is a copy: what is changed inside of it is not written, see `edit`."""

    def __init__(self, scopes: Callable[[StateKind], ScopedState], wait: Waiting) -> None:
        self._scopes = scopes
        self._wait = wait

    def __getitem__(self, key: str) -> Any:
        kind, name = place_of(key)
        missing = object()
        value = self._wait(self._scopes(kind).get(name, missing), "get_state")
        if value is missing:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        kind, name = place_of(key)
        self._wait(self._scopes(kind).set({name: value}), "set_state")

    def __delitem__(self, key: str) -> None:
        kind, name = place_of(key)
        self[key]
        self._wait(self._scopes(kind).delete(name), "delete_state")

    def __iter__(self) -> Iterator[str]:
        return iter([named(kind, key) for kind in KINDS for key in self._snapshot(kind)])

    def __len__(self) -> int:
        return sum(len(self._snapshot(kind)) for kind in KINDS)

    def __repr__(self) -> str:
        return f"StateMapping({dict(self)!r})"

    def _snapshot(self, kind: StateKind) -> Mapping[str, Any]:
        return self._wait(self._scopes(kind).snapshot(), "get_state")


class DictInState(MutableMapping[str, Any]):
    """A dict that is the value of one key: each change of it is written."""

    def __init__(self, scope: ScopedState, key: str, wait: Waiting) -> None:
        self._scope = scope
        self._key = key
        self._wait = wait

    def __getitem__(self, name: str) -> Any:
        return self._read()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._change(lambda found: {**found, name: value})

    def __delitem__(self, name: str) -> None:
        if name not in self._read():
            raise KeyError(name)
        self._change(lambda found: {key: value for key, value in found.items() if key != name})

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return repr(self._read())

    def _read(self) -> dict[str, Any]:
        return dict(self._wait(self._scope.get(self._key, {}), "get_state"))

    def _change(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._wait(self._scope.update_with(self._key, change, {}), "set_state")
