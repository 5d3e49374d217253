"""States in memory: their changes in lists, folded with each reading."""

from collections.abc import Sequence
from itertools import accumulate

from openhands_sessions.adapters.stores.sqlite_moves import move_of
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId
from openhands_sessions.core.lineage import Lineage, on_chain
from openhands_sessions.core.state import KeyedState, StateChange, added_size, apply, check_same, dump_change, fold
from openhands_sessions.ports.state import LARGEST_PAGE, NumberedChange, StateChanged, StateScope
from tests.fakes.memory_data import OpenedData


class MemoryStates:
    """A StateStore over lists."""

    def __init__(self, data: OpenedData) -> None:
        self._data = data

    async def read(self, scope: StateScope, *, at: EventId | None = None) -> KeyedState:
        stored = self._stored(scope)
        return KeyedState(
            len(stored), fold((each.revision, each.change) for each in stored if self._seen(scope, each, at)).entries
        )

    async def change(self, scope: StateScope, change: StateChange) -> StateChanged:
        stored, before = self._stored(scope), (await self.read(scope)).entries
        for each in stored:
            if each.change.id == change.id:
                check_same(each.change, change)
                return StateChanged(each.revision, {key: before.get(key) for key in change.keys})
        revision = len(stored) + 1
        after = apply(change, before, revision)
        added_size(before, after, sum(entry.size for entry in before.values()))
        stored.append(NumberedChange(revision, EventId(self._head(scope)), change))
        return StateChanged(revision, after)

    async def changes(self, scope: StateScope, *, after: int = 0, limit: int) -> Sequence[NumberedChange]:
        found = self._stored(scope)[max(after, 0) :][: max(limit, 0)]
        sizes = accumulate(len(dump_change(each.change).encode()) for each in found)
        return found[: max(1, sum(size <= LARGEST_PAGE for size in sizes))]

    def _stored(self, scope: StateScope) -> list[NumberedChange]:
        if scope.kind == "session":
            self._data.row(ConversationId(scope.name))  # raises where it is damaged
            return self._data.get(ConversationId(scope.name)).states
        self._data.find(ConversationId(""))  # raises once the store is closed
        return self._data.data.states.setdefault(scope, [])

    def _head(self, scope: StateScope) -> int:
        return len(self._data.get(ConversationId(scope.name)).entries) - 1 if scope.kind == "session" else UNNUMBERED

    def _seen(self, scope: StateScope, change: NumberedChange, at: EventId | None) -> bool:
        if change.at == UNNUMBERED:
            return True
        entries = self._data.get(ConversationId(scope.name)).entries
        moves = tuple(move for entry in entries if (move := move_of(entry)) is not None)
        return on_chain(Lineage(moves=moves).path(len(entries) - 1 if at is None else at), change.at)
