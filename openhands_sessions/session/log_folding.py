"""Folds what is stored of a conversation: from the newest snapshot, with new ones on the way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from openhands_sessions.core.errors import StorageError, StorageUnavailable
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.fold import Fold
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId
from openhands_sessions.core.lineage import Chain, Lineage, at_most, between
from openhands_sessions.core.snapshots import SPACING, rungs
from openhands_sessions.core.stored_view import dump_view, load_view
from openhands_sessions.core.view import VIEW_VERSION, ConversationView
from openhands_sessions.ports.store import EventLog, Snapshot, SnapshotStore
from openhands_sessions.session.progress_limit import ProgressLimit

log = structlog.get_logger(__name__)

LoadSnapshot = Callable[[EventId], Awaitable[Snapshot | None]]
"""The newest snapshot whose head is not above an event."""
Ends = dict[EventId, ConversationView]
"""Views at ends of turns."""
SaveSnapshot = Callable[[Snapshot], Awaitable[None]]

FOLDED_AT_ONCE = 32
"""Events between two moments at which others may go on."""
LONG = 2 * SPACING
"""From how many events on a fold waits for its turn: what a session does as a rule never waits."""
LONG_AT_ONCE = 2
"""Long folds at one time: one computes while the other reads."""
KEPT_ENDS = 20
"""Newest turns that a session can go back over without reading its log."""


def fold_turns() -> asyncio.Semaphore:
    """The turns of long folds, for all sessions of a server."""
    return asyncio.Semaphore(LONG_AT_ONCE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Folding:
    """How a log is folded. `load` finds snapshots for what moves go back to. `save` is given a snapshot at each event
    where the log is worth one, so that a long log is folded whole only once, also where that is cut off. `tell` is told
    how many events a long fold has before it."""

    load: LoadSnapshot | None = None
    save: SaveSnapshot | None = None
    turns: asyncio.Semaphore = field(default_factory=fold_turns)
    limit: ProgressLimit = field(default_factory=ProgressLimit)
    tell: Callable[[int], None] = lambda events: None


async def folded(
    log: EventLog, snapshot: Snapshot | None, how: Folding | None = None, ends: Ends | None = None
) -> ConversationView:
    """The view of all that is stored, from the snapshot where it fits. `ends` is given the views at the ends of the
    newest turns, as far as they were folded."""
    how = how or Folding()
    view = ConversationView()
    head = await log.head()
    if snapshot is not None and snapshot.version == VIEW_VERSION and snapshot.head <= head:
        view = load_view(snapshot.text) or view
    if head - view.head < LONG:
        return await _folded(log, view, head, how, ends)
    how.tell(head - view.head)
    async with _turn(how):
        return await _folded(log, view, head, how, ends)


async def view_at(
    log: EventLog, lineage: Lineage, event: EventId, how: Folding, ends: Ends | None = None
) -> ConversationView:
    """The view at an event on any branch, as far as its chain decides it: what is said of the whole log is not to be
    used. `lineage` has all moves before the event. `ends` is given the view at the end of the newest turn before it.
    Raises DamagedRecord."""
    chain = lineage.path(event)
    fold = Fold(await nearest(chain, event, how.load))
    async for batch in batches_on(log, chain, fold.head, event + 1):
        for entry in batch:
            fold.add(entry)
            if entry.id % FOLDED_AT_ONCE == 0:
                await asyncio.sleep(0)
        how.limit.renew()
    if ends is not None and (end := fold.newest_end) is not None:
        ends[end.head] = end
    return fold.view


async def batches_on(log: EventLog, chain: Chain, after: int, before: int) -> AsyncIterator[Sequence[Stored]]:
    """Entries of the chain with `after < id < before`, in batches as `EventLog.read` gives them."""
    for first, last in between(chain, after, before):
        async for batch in log.read(first - 1, before=last + 1):
            yield batch


async def nearest(chain: Chain, event: EventId, load: LoadSnapshot | None) -> ConversationView:
    """The view of the newest snapshot that lies on the chain, up to the event."""
    snapshot = None if load is None else await load(event)
    while load is not None and snapshot is not None:
        head = at_most(chain, snapshot.head)
        view = load_view(snapshot.text) if head == snapshot.head and snapshot.version == VIEW_VERSION else None
        if view is not None:
            return view
        below = head if head < snapshot.head else EventId(head - 1)
        snapshot = await load(below) if below > UNNUMBERED else None
    return ConversationView()


def loading(snapshots: SnapshotStore, sid: ConversationId) -> LoadSnapshot:
    """Finds a conversation's snapshots."""

    async def load(at: EventId) -> Snapshot | None:
        return await snapshots.load(sid, at)

    return load


def saving(snapshots: SnapshotStore, sid: ConversationId) -> SaveSnapshot:
    """Saves a conversation's snapshots, which are worth no failure: one that cannot be saved is logged."""

    async def save(snapshot: Snapshot) -> None:
        try:
            await snapshots.save(sid, snapshot)
        except StorageUnavailable:
            pass  # the store tells of it
        except StorageError as error:
            log.warning("a snapshot was not saved", conversation_id=sid, problem=error.message)

    return save


def snapshot_of(view: ConversationView) -> Snapshot:
    """The view in its stored form."""
    return Snapshot(view.head, VIEW_VERSION, dump_view(view))


@asynccontextmanager
async def _turn(how: Folding) -> AsyncIterator[None]:
    how.limit.pause()
    async with how.turns:
        how.limit.renew()
        yield


async def _folded(
    log: EventLog, view: ConversationView, head: int, how: Folding, ends: Ends | None
) -> ConversationView:
    fold, saved = Fold(view), frozenset(rungs(head))
    async for batch in log.read(view.head):
        for entry in batch:
            if (missing := fold.missing(entry)) is not None:
                fold.know(await view_at(log, fold.view.lineage, missing, how))
            fold.add(entry)
            if entry.id in saved and how.save is not None:
                await how.save(snapshot_of(fold.view))
            if entry.id % FOLDED_AT_ONCE == 0:
                await asyncio.sleep(0)  # others must not feel a long log
        how.limit.renew()
    if ends is not None:
        ends.update({end.head: end for end in fold.newest_ends(KEPT_ENDS)})
    return fold.view
