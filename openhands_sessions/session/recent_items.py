"""The newest items of the conversations that were written last, kept in memory for those who follow them."""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from openhands_sessions.core.events.codec import Stored
from openhands_sessions.ports.gateway import Delta, Status

MOST_ENTRIES = 128
MOST_CHARACTERS = 24 * 1024
MOST_OF_ALL = 4 * 1024 * 1024
"""Characters of all conversations of a process."""
TRANSIENTS = 256
_TRANSIENT_SIZE = 400
"""As which a transient item counts: its objects take more than its text."""


@dataclass(frozen=True, slots=True)
class Transient:
    """An item that is not stored, in its place: after event `head`."""

    number: int
    head: int
    item: Delta | Status


class RecentItems:
    """The newest events of one conversation, without a gap, and its newest transient items: as many as the bounds and
    the memory let it keep."""

    def __init__(self, memory: "RecentMemory") -> None:
        self._memory = memory
        self._transients: deque[Transient] | None = None
        self._entries: deque[Stored] | None = None
        self._size = 0
        self._batch: Sequence[Stored] = ()

    def add(self, entries: Sequence[Stored]) -> None:
        """Those that follow the last ones."""
        kept = self._entries
        if kept is None:
            kept = self._entries = deque()
        kept.extend(entries)
        size = self._size + sum(len(entry.text) for entry in entries)
        while len(kept) > MOST_ENTRIES or (size > MOST_CHARACTERS and len(kept) > 1):
            size -= len(kept.popleft().text)
        self._size, self._batch = size, ()
        self._hold()

    def add_transient(self, transient: Transient) -> None:
        """One more."""
        if self._transients is None:
            self._transients = deque(maxlen=TRANSIENTS)
        self._transients.append(transient)
        self._hold()

    def transient_after(self, number: int) -> Transient | None:
        """The oldest kept one after this number."""
        kept = self._transients
        if not kept or number >= kept[-1].number:
            return None
        return kept[max(0, number + 1 - kept[0].number)]

    def clear_events(self) -> None:
        """Keep no event."""
        self._entries, self._size, self._batch = None, 0, ()

    def clear(self) -> None:
        """Keep nothing."""
        self._transients = None
        self.clear_events()

    def _hold(self) -> None:
        transients = 0 if self._transients is None else len(self._transients)
        self._memory.hold(self, self._size + transients * _TRANSIENT_SIZE)

    def between(self, cursor: int, head: int) -> Sequence[Stored] | None:
        """The events after `cursor` up to and with `head`, the same batch for all who ask for it; None where the first
        of them is not here."""
        if self._batch and self._batch[0].id == cursor + 1 and self._batch[-1].id == head:
            return self._batch
        kept = self._entries
        if not kept or kept[0].id > cursor + 1:
            return None
        first = kept[0].id
        self._batch = list(islice(kept, cursor + 1 - first, head + 1 - first))
        return self._batch


class RecentMemory:
    """What all conversations of a process keep together: beyond `most` characters, the one that was written longest ago
    keeps none. So those that rest cost nothing, however many they are."""

    def __init__(self, most: int = MOST_OF_ALL) -> None:
        self._most = most
        self._sizes: OrderedDict[RecentItems, int] = OrderedDict()
        self._size = 0

    def hold(self, recent: RecentItems, size: int) -> None:
        """It was written last, and keeps so many characters."""
        self._size += size - self._sizes.get(recent, 0)
        self._sizes[recent] = size
        self._sizes.move_to_end(recent)
        while self._size > self._most and len(self._sizes) > 1:
            oldest, freed = self._sizes.popitem(last=False)
            self._size -= freed
            oldest.clear()
