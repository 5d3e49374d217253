"""Imports conversations of another installation into the store. A conversation has the owner NOBODY until it is
complete: no list shows a part of it, and the next import continues one that was cut off."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Literal

from openhands_sessions.core.errors import AlreadyExists, Conflict, DamagedRecord, Fenced, NotFound
from openhands_sessions.core.events.codec import Stored, decode
from openhands_sessions.core.foreign_events import EventNumbering, Metadata, metadata_of
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.snapshots import SPACING
from openhands_sessions.ports.installation import (
    ForeignConversation,
    ForeignEvent,
    Installation,
    SkippedConversation,
    UnreadableConversation,
)
from openhands_sessions.ports.store import NEVER_CLAIMED, ConversationRow, EventLog, ImportProgress, SessionStore
from openhands_sessions.service.log_importer import LogImporter
from openhands_sessions.session.log_folding import saving, snapshot_of

NOBODY = OwnerId("-")
"""The owner of a conversation while it is being imported: no credentials give it."""
GOES_ON_HERE = "has more than was imported, and has been opened here since: it goes on here"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOutcome:
    """The result for one conversation. `events` is how many were imported; `problems` are messages for the user."""

    place: str
    kind: Literal["imported", "continued", "there", "skipped"]
    title: str = ""
    events: int = 0
    problems: Sequence[str] = ()


class _Skipped(Exception):
    """This conversation cannot be imported; the message says why."""


@dataclass(slots=True)
class _Work:
    """One conversation while it is imported. `head` is the newest event that is stored."""

    theirs: ForeignConversation
    row: ConversationRow
    log: EventLog
    importer: LogImporter
    head: int
    through: int
    events: int = 0
    problems: list[str] = field(default_factory=list)


class Importer:
    """Imports everything that an installation has, for one owner."""

    def __init__(self, store: SessionStore, installation: Installation, owner: OwnerId, zone: tzinfo | None) -> None:
        """A time without a zone is of `zone`, None being this machine's."""
        self._store = store
        self._installation = installation
        self._owner = owner
        self._zone = zone

    async def run(self, begin: Callable[[int], None]) -> AsyncIterator[ImportOutcome]:
        """One conversation after the other; `begin` is told first how many places there are. May be run again at any
        time, and while a server uses the store. Raises BadInput, StorageError."""
        found = await self._installation.conversations()
        begin(len(found))
        seen: set[ConversationId] = set()
        for each in found:
            match each:
                case SkippedConversation(place=place, why=why):
                    yield _skipped(place, why)
                case ForeignConversation(id=sid, place=place) if sid in seen:
                    yield _skipped(place, "stands here twice; the first one counts")
                case ForeignConversation():
                    seen.add(each.id)
                    yield await self._outcome(each)

    async def _outcome(self, theirs: ForeignConversation) -> ImportOutcome:
        try:
            return await self._taken(theirs)
        except (UnreadableConversation, _Skipped) as error:
            return _skipped(theirs.place, str(error))
        except NotFound:
            return _skipped(theirs.place, "was deleted here meanwhile")
        except DamagedRecord as error:
            return _skipped(theirs.place, error.message)
        except Conflict:
            return _skipped(theirs.place, "is being written by another import; import again to have the rest")

    async def _taken(self, theirs: ForeignConversation) -> ImportOutcome:
        about = await self._metadata(theirs)
        row = await self._store.conversations.get(theirs.id)
        if row is None:
            row = await self._created(theirs, about)
        elif row.owner != NOBODY:
            row = await self._reopened(theirs, row)
            if row is None:
                return ImportOutcome(place=theirs.place, kind="there", title=about.title or "")
        work = await self._work(theirs, row, about)
        kind: Literal["imported", "continued"] = "imported" if work.through < 0 else "continued"
        try:
            await self._copy(work)
            await self._finish(work, about)
        except Fenced:
            await self._store.conversations.update(row.id, {"owner": self._owner})
            raise _Skipped(GOES_ON_HERE) from None
        return ImportOutcome(
            place=theirs.place, kind=kind, title=about.title or "", events=work.events, problems=work.problems
        )

    async def _metadata(self, theirs: ForeignConversation) -> Metadata:
        try:
            about = metadata_of(await self._installation.metadata(theirs), theirs.id)
        except UnreadableConversation as error:
            raise _Skipped(f"metadata.json {error}") from None
        if about is None:
            raise _Skipped("metadata.json does not say when it was created")
        return about

    async def _created(self, theirs: ForeignConversation, about: Metadata) -> ConversationRow:
        row = ConversationRow(
            id=theirs.id,
            owner=NOBODY,
            created_at=about.created_at,
            updated_at=about.updated_at,
            title=about.title,
            trigger=about.trigger,
            repository=about.repository,
            imported=ImportProgress(),
        )
        try:
            await self._store.conversations.create(row)
        except AlreadyExists:
            raise _Skipped("was deleted here, and stays so") from None
        return row

    async def _reopened(self, theirs: ForeignConversation, row: ConversationRow) -> ConversationRow | None:
        """The row, with the owner NOBODY again because there is more to import; None where there is not."""
        if row.imported is None:
            raise _Skipped("has an id that a conversation of this server has already")
        if await self._installation.newest(theirs) <= row.imported.through:
            return None
        if await self._store.log(row.id).head() != row.imported.head:
            raise _Skipped(GOES_ON_HERE)
        return await self._store.conversations.update(row.id, {"owner": NOBODY})

    async def _work(self, theirs: ForeignConversation, row: ConversationRow, about: Metadata) -> _Work:
        progress = row.imported or ImportProgress()
        log = self._store.log(row.id)
        importer = LogImporter(EventNumbering(progress.runs), self._zone, about.created_at)
        async for batch in log.read(before=progress.head + 1):
            for entry in batch:
                importer.fold(decode(entry.text, entry.schema))
        return _Work(theirs, row, log, importer, head=await log.head(), through=progress.through)

    async def _copy(self, work: _Work) -> None:
        """Store what is not stored yet. What an earlier import has stored is converted again, without storing."""
        async for batch in self._installation.events(work.theirs, work.through):
            made: list[Stored] = []
            for entry in batch:
                if entry.number > work.through + 1:
                    work.problems.append(_missing(work.through + 1, entry.number - 1))
                work.through = entry.number
                if (stored := _rewritten(work, entry)) is not None:
                    made.append(stored)
            work.events += len(made)
            await self._append(work, made)
        if work.importer.unknown:
            work.problems.append(
                f"{work.importer.unknown} events are of kinds that are not known here; kept as they are"
            )

    async def _finish(self, work: _Work, about: Metadata) -> None:
        """End the log, and give the conversation to its owner."""
        ends = work.importer.settled()
        numbering, head = work.importer.numbering.dump(), work.importer.view.head
        # Before the end is appended: should the import be cut off there, that end is not taken for their events.
        progress = ImportProgress(runs=numbering, through=work.through, head=head)
        updated_at = max(work.row.updated_at, about.updated_at)
        await self._store.conversations.update(work.row.id, {"imported": progress, "updated_at": updated_at})
        await self._append(work, ends)
        await self._save_snapshot(work)
        await self._store.conversations.update(work.row.id, {"owner": self._owner})

    async def _append(self, work: _Work, entries: Sequence[Stored]) -> None:
        """Store those that are not stored yet, with a snapshot in each SPACING events: who opens the conversation first
        need not fold it."""
        fresh = [entry for entry in entries if entry.id > work.head]
        if fresh:
            before, work.head = work.head, fresh[-1].id
            await work.log.append(fresh, expected=before, term=NEVER_CLAIMED)
            if before // SPACING < work.head // SPACING:
                await self._save_snapshot(work)

    async def _save_snapshot(self, work: _Work) -> None:
        """At the newest event that was stored: the importer has folded it, and nothing after it."""
        if work.importer.view.head == work.head:
            await saving(self._store.snapshots, work.row.id)(snapshot_of(work.importer.view))


def _skipped(place: str, why: str) -> ImportOutcome:
    return ImportOutcome(place=place, kind="skipped", problems=[why])


def _rewritten(work: _Work, entry: ForeignEvent) -> Stored | None:
    if entry.wire is None:
        work.problems.append(f"event {entry.number} {entry.problem}; skipped")
        return None
    if not isinstance(entry.wire.get("action", entry.wire.get("observation")), str):
        work.problems.append(f"event {entry.number} is neither an action nor an observation; skipped")
        return None
    return work.importer.convert(entry.number, entry.wire)


def _missing(first: int, last: int) -> str:
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"
