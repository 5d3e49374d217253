"""Writes one conversation's log: number, mask, append, fold, publish."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import TypeVar

from openhands_sessions.core.authorship import is_by_person
from openhands_sessions.core.errors import NotFound, StorageError
from openhands_sessions.core.events.codec import Stored, decode, masked, recorded
from openhands_sessions.core.events.event import EPOCH, Event
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import UNNUMBERED, EventId, OwnerId
from openhands_sessions.core.lineage import Chain
from openhands_sessions.core.masking import SecretMasker
from openhands_sessions.core.measurements import Measurements
from openhands_sessions.core.turns import OpenTurn
from openhands_sessions.core.view import ConversationView, reduce
from openhands_sessions.ports.accounts import Charge
from openhands_sessions.ports.gateway import Delta, Status
from openhands_sessions.ports.store import EventLog, Receipt, Snapshot
from openhands_sessions.session.feed import Feed
from openhands_sessions.session.log_folding import (
    KEPT_ENDS,
    Ends,
    Folding,
    LoadSnapshot,
    batches_on,
    folded,
    snapshot_of,
    view_at,
)

Listener = Callable[[Event], None]
E = TypeVar("E", bound=Event)

UNMASKED = 8
NO_SECRETS = SecretMasker()


@dataclass(slots=True)
class _Writing:
    """An append under way: the events as they were given, and as they are kept, and the turn that was open `before`.
    `began`: when, in seconds of a clock
    that only rises. `doomed`: one before it failed, so its expected head never comes to be. `at` as `append` has it."""

    given: Sequence[Event]
    events: Sequence[Event]
    entries: Sequence[Stored]
    before: OpenTurn
    at: ConversationView | None
    began: float
    storing: "asyncio.Future[None]"
    done: "asyncio.Future[Sequence[Event]]"
    doomed: bool = False

    @property
    def first(self) -> int:
        return self.events[0].id


class EventStream:
    """Numbers events, stores them, folds them once they are durable, and publishes them to the feed.

    This assumes one writer per conversation; the log's `term` guarantees it.
    """

    def __init__(
        self,
        log: EventLog,
        feed: Feed,
        clock: Callable[[], datetime],
        masker: SecretMasker = NO_SECRETS,
        measurements: Measurements | None = None,
    ) -> None:
        self.feed = feed
        self.masker = masker
        self._measurements = measurements or Measurements()
        self._log = log
        self._term = 0
        self._clock = clock
        self._view = ConversationView()
        self._ends: Ends = {}
        self._submitted: int = -1
        self._turn = OpenTurn()
        self._under_way: deque[_Writing] = deque()
        self._listeners: list[Listener] = []
        self._delta_listeners: list[Callable[[], None]] = []
        self._unmasked: dict[int, Event] = {}
        self.updated_at = EPOCH
        """When an event was stored last; EPOCH where none was since the session began."""

    @property
    def view(self) -> ConversationView:
        """The fold of all that is durable."""
        return self._view

    @property
    def turn(self) -> EventId | None:
        """The turn that the next event of the next append belongs to; None between turns. What is appended but not
        durable yet counts."""
        return self._turn.id

    @property
    def now(self) -> datetime:
        """The time that events get, UTC."""
        return self._clock()

    @property
    def next_id(self) -> EventId:
        """The id that the first event of the next append will have."""
        return EventId(self._submitted + 1)

    async def load(
        self, term: int, snapshot: Snapshot | None, how: Folding | None = None, *, agent: str | None = None
    ) -> None:
        """Fold what is stored, from the snapshot where it fits, and write as `term` from now on. Call once, before any
        append. `agent` is, of several, the one of turns for which none is named."""
        self._term = term
        self._view = await folded(self._log, snapshot, how, self._ends)
        self._submitted = self._view.head
        self._turn = OpenTurn.of(self._view, agent)
        self.feed.load(self._view.head)

    def read(self, after: int = -1, *, before: int | None = None) -> AsyncIterator[Sequence[Stored]]:
        """What is stored; see `EventLog.read`."""
        return self._log.read(after, before=before)

    def read_chain(
        self, after: int = UNNUMBERED, *, before: int | None = None, chain: Chain | None = None
    ) -> AsyncIterator[Sequence[Stored]]:
        """What is stored and visible, or on another chain, with `after < id < before`."""
        end = self._view.head + 1 if before is None else before
        return batches_on(self._log, self._view.chain if chain is None else chain, after, end)

    async def view_at(self, event_id: EventId, load: LoadSnapshot, ends: Ends) -> ConversationView:
        """What the chain of an event says at that event; see `log_folding.view_at`."""
        if event_id == self._view.head:
            return self._view
        if event_id in self._ends:
            return self._ends[event_id]
        return await view_at(self._log, self._view.lineage, event_id, Folding(load=load), ends)

    async def receipt(self, key: str) -> Receipt | None:
        """What a command with this key did, if it was stored."""
        return await self._log.receipt(key)

    async def event(self, event_id: int) -> Event:
        """One stored event; one of the newest that were stored without their secrets as it was given, for what was
        asked for is what must run. Raises NotFound."""
        if event_id in self._unmasked:
            return self._unmasked[event_id]
        async for batch in self._log.read(event_id - 1, before=event_id + 1):
            return decode(batch[0].text, batch[0].schema)
        raise NotFound("event", str(event_id))

    async def event_of(self, kind: type[E], event_id: int) -> E:
        """As `event`, for an id that the view holds as that of such an event. Raises StorageError where it is not."""
        return _of_kind(kind, await self.event(event_id))

    async def append_one(self, event: E) -> E:
        """Append one event; as it was given, numbered."""
        [numbered] = await self.append(event)
        return _of_kind(type(event), numbered)

    def snapshot(self) -> Snapshot:
        """The view in its stored form."""
        return snapshot_of(self._view)

    def listen(self, listener: Listener) -> None:
        """Have `listener` called with each event once it is durable, in order; the view includes it already. It
        must not block."""
        self._listeners.append(listener)

    def listen_to_deltas(self, listener: Callable[[], None]) -> None:
        """Have `listener` called when a delta is sent. It must not block."""
        self._delta_listeners.append(listener)

    def unlisten(self) -> None:
        """Call no listener any more."""
        self._listeners.clear()
        self._delta_listeners.clear()

    def append(
        self,
        *events: Event,
        receipt: Receipt | None = None,
        at: ConversationView | None = None,
        charge: Charge | None = None,
        author: OwnerId | None = None,
    ) -> "asyncio.Future[Sequence[Event]]":
        """Store events as one, all or nothing, without secrets. Done when they are durable and folded; the result is
        the events as given, numbered. A caller that is cancelled takes nothing back. Raises what the log raises.

        The receipt's `event` is filled in with the first id. `at` is the view at the event that a move among the
        events goes back to. `charge` is added to its user's account with them.
        `author` caused those of the events that persons cause.
        """
        before = turn = self._turn
        first, moment = self._submitted + 1, self._clock()
        numbered: list[tuple[Event, Stored]] = []
        for number, event in enumerate(events, first):
            told, turn = turn.take(event, EventId(number))
            if event.origin is None:  # a copy says when it first was, and who caused it
                told["timestamp"] = moment
                if author is not None and is_by_person(event):
                    told["author"] = author
            numbered.append(recorded(evolve(event, id=EventId(number), **told)))
        kept = [masked(event, entry, self.masker) for event, entry in numbered]
        entries = [entry for _, entry in kept]
        if receipt is not None:
            receipt = evolve(receipt, event=EventId(first))
        began = perf_counter()
        storing = self._log.append(entries, expected=self._submitted, term=self._term, receipt=receipt, charge=charge)
        done: asyncio.Future[Sequence[Event]] = asyncio.get_running_loop().create_future()
        texts = [event for event, _ in kept]
        writing = _Writing([event for event, _ in numbered], texts, entries, before, at, began, storing, done)
        self._submitted += len(events)
        self._turn = turn
        self._under_way.append(writing)
        storing.add_done_callback(partial(self._written, writing))
        return done

    def _written(self, writing: _Writing, future: "asyncio.Future[None]") -> None:
        self._under_way.remove(writing)
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is not None:
            self._measurements.failed_appends += 1
            if not writing.doomed:
                self._number_anew(writing)
            if not writing.done.done():
                writing.done.set_exception(error)
            return
        self._measurements.appends.observe(perf_counter() - writing.began)
        self._measurements.events += len(writing.events)
        self.updated_at = writing.events[-1].timestamp
        for event in writing.events:
            self._view = reduce(self._view, event, writing.at)
            if self._view.settled == event.id:
                self._keep_end()
            for listener in self._listeners:
                listener(event)
        self._remember(writing)
        if not writing.done.done():
            writing.done.set_result(writing.given)
        self.feed.publish(writing.entries)  # after the session goes on: followers see the state that it comes to

    async def quiet(self) -> None:
        """Wait until no append is under way: those whose caller was cancelled take effect all the same."""
        while self._under_way:
            await asyncio.wait([writing.storing for writing in self._under_way])

    def _number_anew(self, failed: _Writing) -> None:
        """Give the ids of an append that failed to those that come now: those under way with a higher one will fail
        too."""
        for writing in self._under_way:
            if writing.first > failed.first:
                writing.doomed = True
        self._submitted, self._turn = failed.first - 1, failed.before

    def _keep_end(self) -> None:
        self._ends[self._view.head] = self._view
        if len(self._ends) > KEPT_ENDS:
            del self._ends[next(iter(self._ends))]

    def _remember(self, writing: _Writing) -> None:
        for given, kept in zip(writing.given, writing.events, strict=True):
            if given is not kept:
                self._unmasked[given.id] = given
        while len(self._unmasked) > UNMASKED:
            del self._unmasked[next(iter(self._unmasked))]

    def publish_transient(self, item: Delta | Status) -> None:
        """See `Feed.publish_transient`. The text of a Status is masked; a Delta is masked by its writer, who knows what
        follows."""
        if isinstance(item, Status):
            item = replace(item, message=self.masker.text(item.message))
        else:
            for listener in self._delta_listeners:
                listener()
        self.feed.publish_transient(item)


def _of_kind(kind: type[E], event: Event) -> E:
    if not isinstance(event, kind):
        raise StorageError(f"event {event.id} is not a {kind.__name__}: the log is damaged")
    return event
