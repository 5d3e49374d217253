"""Folds what is stored of a conversation: from the newest snapshot, with new ones on the way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from openhands_sessions.core.errors import StorageError, StorageUnavailable
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.snapshots import SPACING, rungs
from openhands_sessions.core.view import VIEW_VERSION, ConversationView, Fold, dump_view, load_view
from openhands_sessions.ports.store import EventLog, Snapshot, SnapshotStore
from openhands_sessions.session.progress_limit import ProgressLimit

log = structlog.get_logger(__name__)

SaveSnapshot = Callable[[Snapshot], Awaitable[None]]

FOLDED_AT_ONCE = 32
"""Events between two moments at which others may go on."""
LONG = 2 * SPACING
"""From how many events on a fold waits for its turn: what a session does as a rule never waits."""
LONG_AT_ONCE = 2
"""Long folds at one time: one computes while the other reads."""


def fold_turns() -> asyncio.Semaphore:
    """The turns of long folds, for all sessions of a server."""
    return asyncio.Semaphore(LONG_AT_ONCE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Folding:
    """How a log is folded. `save` is given a snapshot at each event where the log is worth one, so that a long log is
    folded whole only once, also where that is cut off. `tell` is told how many events a long fold has before it."""

    save: SaveSnapshot | None = None
    turns: asyncio.Semaphore = field(default_factory=fold_turns)
    limit: ProgressLimit = field(default_factory=ProgressLimit)
    tell: Callable[[int], None] = lambda events: None


async def folded(log: EventLog, snapshot: Snapshot | None, how: Folding | None = None) -> ConversationView:
    """The view of all that is stored, from the snapshot where it fits."""
    how = how or Folding()
    view = ConversationView()
    head = await log.head()
    if snapshot is not None and snapshot.version == VIEW_VERSION and snapshot.head <= head:
        view = load_view(snapshot.text) or view
    if head - view.head < LONG:
        return await _folded(log, view, head, how)
    how.tell(head - view.head)
    async with _turn(how):
        return await _folded(log, view, head, how)


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


async def _folded(log: EventLog, view: ConversationView, head: int, how: Folding) -> ConversationView:
    fold, saved = Fold(view), frozenset(rungs(head))
    async for batch in log.read(view.head):
        for entry in batch:
            fold.add(entry)
            if entry.id in saved and how.save is not None:
                await how.save(snapshot_of(fold.view))
            if entry.id % FOLDED_AT_ONCE == 0:
                await asyncio.sleep(0)  # others must not feel a long log
        how.limit.renew()
    return fold.view
