"""The turns of two dialogues that began alike, in one order. Pure.

Each dialogue's own order comes before any clock. The result is the same whichever of the two is merged into the other,
and merging again changes nothing."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from openhands_sessions.core.copying import origin_of
from openhands_sessions.core.events.actions import SystemAction
from openhands_sessions.core.events.codec import Stored, wire_of
from openhands_sessions.core.events.own import HistorySeededAction, StopReason, TurnEndedObservation
from openhands_sessions.core.ids import ConversationId, EventId

_ENDS = (f"action:{SystemAction.KIND}", f"action:{HistorySeededAction.KIND}")
_TURN_ENDED = f"observation:{TurnEndedObservation.KIND}"


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeTurn:
    """A turn of a chain, with what lies between it and the one before; the prompt counts as one too. `key` is the
    origin of its last event, by which it is the same turn in every copy; `ended` is when that was recorded, UTC."""

    key: str
    ended: datetime
    entries: Sequence[Stored] = field(repr=False)

    @property
    def last(self) -> EventId:
        return self.entries[-1].id


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedOrder:
    """The turns of both dialogues, each once, and the keys of those that the two have in different orders."""

    turns: Sequence[WholeTurn]
    conflicts: Sequence[str] = ()


def whole_turns(sid: ConversationId, entries: Iterable[Stored]) -> Iterator[WholeTurn]:
    """The turns of a chain of the conversation `sid`, in their order. A turn that has not ended is left out. Raises
    StorageError."""
    held: list[Stored] = []
    for entry in entries:
        held.append(entry)
        if entry.kind != _TURN_ENDED and entry.kind not in _ENDS:
            continue
        wire = wire_of(entry.text, entry.schema)
        extras = wire.get("extras", {})
        if entry.kind == _TURN_ENDED and (extras.get("stop_reason") == StopReason.APPROVAL or extras.get("moved_to")):
            continue  # it goes on: once the user has answered, or with a message that came meanwhile
        yield WholeTurn(key=origin_of(sid, wire), ended=datetime.fromisoformat(wire["timestamp"]), entries=held)
        held = []


def shared_beginning(ours: Sequence[WholeTurn], theirs: Sequence[WholeTurn]) -> int:
    """How many turns both dialogues begin with."""
    count = 0
    for one, other in zip(ours, theirs, strict=False):
        if one.key != other.key:
            break
        count += 1
    return count


def merged_order(ours: Sequence[WholeTurn], theirs: Sequence[WholeTurn]) -> MergedOrder:
    """Both, in one order: a turn comes after those that either dialogue has before it, and of turns that could follow,
    the one that ended first. A turn of both is given as `ours` has it."""
    turns = {turn.key: turn for turn in (*theirs, *ours)}
    following: defaultdict[str, set[str]] = defaultdict(set)
    for dialogue in (ours, theirs):
        for before, after in pairwise(dialogue):
            following[before.key].add(after.key)
    waits = dict.fromkeys(turns, 0)
    for keys in following.values():
        for key in keys:
            waits[key] += 1
    order, conflicts = _sorted(turns, following, waits)
    return MergedOrder(turns=[turns[key] for key in order], conflicts=conflicts)


def _sorted(
    turns: dict[str, WholeTurn], following: dict[str, set[str]], waits: dict[str, int]
) -> tuple[list[str], list[str]]:
    """The keys in order, and those that were taken although something should come before them. A turn counts as ended
    no sooner than those before it: clocks differ."""
    moments = {key: turn.ended for key, turn in turns.items()}
    ready = [(moments[key], key) for key, count in waits.items() if not count]
    heapq.heapify(ready)
    order: list[str] = []
    conflicts: list[str] = []
    while len(order) < len(turns):
        if not ready:
            first = min((moments[key], key) for key in waits)
            conflicts.append(first[1])
            ready.append(first)
        moment, key = heapq.heappop(ready)
        del waits[key]
        order.append(key)
        for after in following.get(key, ()):
            if after not in waits:
                continue
            moments[after] = max(moments[after], moment)
            waits[after] -= 1
            if not waits[after]:
                heapq.heappush(ready, (moments[after], after))
    return order, conflicts
