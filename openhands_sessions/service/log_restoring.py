"""Takes the log of a session file into the store: as a new conversation, as its newer events, or as a branch; with the
first two its state."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import orjson

from openhands_sessions.core.budget import NO_BUDGET
from openhands_sessions.core.copying import EventCopies
from openhands_sessions.core.errors import AlreadyExists, BadInput, NotFound, OwnedElsewhere, SessionBusy
from openhands_sessions.core.events.budget import AutoApprovalRevokedAction
from openhands_sessions.core.events.codec import Stored, decode, recorded
from openhands_sessions.core.events.event import Action, AgentState, Event, Json, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import HistoryMovedObservation, MoveReason
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.fold import Fold
from openhands_sessions.core.foreign_events import EventNumbering
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId, OwnerId
from openhands_sessions.core.lineage import Lineage, between, parting
from openhands_sessions.core.session_file import common_entries
from openhands_sessions.core.state import KeyedState, StateChange, StateOp, StateOperation, added_size, apply
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.state import StateScope
from openhands_sessions.ports.store import ConversationRow, LogBeginning, Receipt
from openhands_sessions.service.log_importer import LogImporter
from openhands_sessions.service.session_service import SessionService
from openhands_sessions.service.state_files import StateFiles

LOADED = "loaded"
"""The name of a branch that a file has led to; with a number where it is taken."""


class RestoreOutcome(StrEnum):
    """What became of the events of a file."""

    CREATED = "created"
    KNOWN = "known"
    CONTINUED = "continued"
    BRANCHED = "branched"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedLog:
    """The log of a file, for the conversation `id` of `owner`, and the values of its `state`, None where the file says
    nothing of it. `cut`: not all of it is known."""

    id: ConversationId
    owner: OwnerId
    title: str
    trigger: str
    created_at: datetime
    entries: Sequence[Stored]
    state: Mapping[str, Json] | None = None
    cut: bool = False

    @property
    def key(self) -> str:
        """Names what the file holds."""
        newest = self.entries[-1].text if self.entries else ""
        content = orjson.dumps([newest, self.state], option=orjson.OPT_SORT_KEYS)
        return f"load-{hashlib.sha256(content).hexdigest()}"


class LogRestoring:
    """Into one store."""

    def __init__(self, sessions: SessionService) -> None:
        self._sessions = sessions
        self._store = sessions.store
        self._files = StateFiles(sessions.stored_settings.files)

    async def take_in(self, loaded: LoadedLog) -> tuple[RestoreOutcome, str | None]:
        """What was done, and the branch that the events of the file are on where the log goes on in another way.
        Raises NotFound for an id of another user, SessionBusy while the conversation is at work, TooLarge,
        StorageError."""
        row = await self._store.conversations.get(loaded.id)
        if row is None:
            return await self._created(loaded), None
        if row.owner != loaded.owner:
            raise NotFound("session", loaded.title)
        ours = [entry async for batch in self._store.log(loaded.id).read() for entry in batch]
        common = common_entries(ours, loaded.entries)
        if common == len(loaded.entries):
            await self._finish(loaded)
            return RestoreOutcome.KNOWN, None
        if common == len(ours):
            await self._continue(loaded, len(ours))
            return RestoreOutcome.CONTINUED, None
        branch, made = _branched(loaded, ours, common, self._sessions.clock())
        if not made:
            return RestoreOutcome.KNOWN, None
        await self._append(loaded.id, made, len(ours) - 1)
        return RestoreOutcome.BRANCHED, branch

    async def _created(self, loaded: LoadedLog) -> RestoreOutcome:
        entries = [*loaded.entries, *_ended(loaded)]
        begins = LogBeginning(entries=entries, state=await self._change(loaded, KeyedState()))
        row = ConversationRow(
            id=loaded.id,
            owner=loaded.owner,
            created_at=loaded.created_at,
            updated_at=self._sessions.clock(),
            title=loaded.title,
            trigger=loaded.trigger,
        )
        limits = self._sessions.conversation_limits.stored
        try:
            await self._store.conversations.create(row, limits=limits, begins=begins)
        except AlreadyExists:
            raise NotFound("session", loaded.title) from None  # it was deleted here, and stays so
        self._sessions.registry.lists.changed(row.owner, row.id)
        return RestoreOutcome.CREATED

    async def _continue(self, loaded: LoadedLog, count: int) -> None:
        """Append what the file has beyond our `count` events, then take its state: it is that of its newest event. A
        crash between both is known by the receipt, see `_finish`."""
        more = [*loaded.entries[count:], *_ended(loaded)]
        state = await self._store.states.read(StateScope.session(loaded.id))
        change = await self._change(loaded, state)
        if change is not None:
            size = sum(entry.size for entry in state.entries.values())
            added_size(state.entries, apply(change, state.entries, state.revision + 1), size)
        receipt = Receipt(key=loaded.key, digest=loaded.key, event=EventId(count))
        await self._append(loaded.id, more, count - 1, receipt)
        if change is not None:
            await self._store.states.change(StateScope.session(loaded.id), change)

    async def _finish(self, loaded: LoadedLog) -> None:
        """Take the state of a file whose events were appended, if a crash came before it."""
        if await self._store.log(loaded.id).receipt(loaded.key) is None:
            return
        scope = StateScope.session(loaded.id)
        change = await self._change(loaded, await self._store.states.read(scope))
        if change is not None:
            with suppress(BadInput):  # it was taken then: the keys that the file has not were others
                await self._store.states.change(scope, change)

    async def _change(self, loaded: LoadedLog, before: KeyedState) -> StateChange | None:
        """What makes the state of the file from that before; where the file is cut off, keys that it has not stay."""
        if loaded.state is None:
            return None
        gone = () if loaded.cut else before.entries.keys() - loaded.state.keys()
        operations = [
            *(StateOperation(StateOp.SET, key, value) for key, value in loaded.state.items()),
            *(StateOperation(StateOp.DELETE, key) for key in sorted(gone)),
        ]
        if not operations:
            return None
        change = StateChange(
            id=loaded.key, operations=tuple(operations), actor=loaded.owner, timestamp=self._sessions.clock()
        )
        return await self._files.keep(StateScope.session(loaded.id), change)

    async def _append(
        self, sid: ConversationId, entries: Sequence[Stored], head: int, receipt: Receipt | None = None
    ) -> None:
        """As one, while no session writes."""
        session = self._sessions.registry.find(sid)
        if session is not None and session.busy:
            raise SessionBusy("a turn runs in this session; stop it, or wait for its end")
        await self._sessions.registry.close(sid, "idle")
        try:
            term = await self._store.claim(sid)
        except OwnedElsewhere as error:
            raise SessionBusy("another process has this session open; try again later") from error
        try:
            await self._store.log(sid).append(entries, expected=head, term=term, receipt=receipt)
        finally:
            await self._store.release(sid, term, self._sessions.clock())


def _ended(loaded: LoadedLog) -> Sequence[Stored]:
    """What follows the log of a file. A turn that ran when it was saved has ended: opening it must start nothing. And
    what its events allow does not hold: the file may be another person's, and only the user here allows calls."""
    view = _view(loaded.entries)
    asked = () if view.approval is None else view.approval.calls
    numbers = {*view.open_actions, *(number for one in asked for number in (one.event, one.shown))} - {UNNUMBERED}
    events = {number: decode(loaded.entries[number].text, loaded.entries[number].schema) for number in numbers}
    waiting = {number: event for number, event in events.items() if isinstance(event, Action)}
    newest = (
        decode(loaded.entries[-1].text, loaded.entries[-1].schema).timestamp if loaded.entries else loaded.created_at
    )
    importer = LogImporter(EventNumbering(), UTC, loaded.created_at)
    importer.take_over(view, waiting, newest)
    made = importer.settled()
    if not view.always_allowed and view.budget == NO_BUDGET:
        return made
    number = len(loaded.entries) + len(made)
    return [*made, _told(AutoApprovalRevokedAction(source=Source.ENVIRONMENT), number, newest)]


def _view(entries: Sequence[Stored]) -> ConversationView:
    """The fold of a whole log."""
    fold = Fold(ConversationView())
    for entry in entries:
        if (missing := fold.missing(entry)) is not None:
            fold.know(_view_at(entries, fold.view.lineage, missing))
        fold.add(entry)
    return fold.view


def _view_at(entries: Sequence[Stored], lineage: Lineage, event: EventId) -> ConversationView:
    fold = Fold(ConversationView())
    for first, last in between(lineage.path(event), UNNUMBERED, event + 1):
        for entry in entries[first : last + 1]:
            fold.add(entry)
    return fold.view


def _branched(loaded: LoadedLog, ours: Sequence[Stored], common: int, moment: datetime) -> tuple[str, Sequence[Stored]]:
    """The whole turns of the file that our log has not, as a branch, after which our dialogue goes on as before. None
    where there is no such turn."""
    view, theirs = _view(ours), _view(loaded.entries)
    if not view.between_turns:
        raise SessionBusy("a turn of this session has not ended; go on with it, or stop it, before loading the file")
    chain = theirs.lineage.path(theirs.settled)
    shared = min(parting(view.lineage.path(view.settled), chain), EventId(common - 1))
    base = _view(ours[: shared + 1]).settled
    new = [
        entry for first, last in between(chain, base, len(loaded.entries)) for entry in loaded.entries[first : last + 1]
    ]
    if base == UNNUMBERED or not new:
        return "", ()
    # The numbers of the file's events name other events here: their origins are of a conversation of their own.
    digest = hashlib.sha256(loaded.entries[-1].text.encode()).hexdigest()[:12]
    name, copies = _name(view), EventCopies(ConversationId(f"{loaded.id}-{digest}"))
    there = HistoryMovedObservation(
        source=Source.USER,
        to=base,
        reason=MoveReason.SWITCH,
        branch=name,
        left_branch=view.lineage.branch,
        left_tip=view.settled,
    )
    made: list[Stored] = [_told(there, len(ours), moment)]
    for entry in new:
        made += copies.stored(entry, len(ours) + len(made))
    tip = EventId(len(ours) + len(made) - 1)
    back = HistoryMovedObservation(
        source=Source.USER,
        to=view.settled,
        reason=MoveReason.SWITCH,
        branch=view.lineage.branch,
        left_branch=name,
        left_tip=tip,
        state_at=ours[-1].id,
    )
    waiting = AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_INPUT)
    made += [_told(event, tip + place, moment) for place, event in enumerate((back, waiting), 1)]
    return name, made


def _name(view: ConversationView) -> str:
    names = (LOADED, *(f"{LOADED}-{number}" for number in range(2, len(view.lineage.branches) + 4)))
    return next(name for name in names if not view.lineage.known(name))


def _told(event: Event, number: int, moment: datetime) -> Stored:
    return recorded(evolve(event, id=EventId(number), timestamp=moment))[1]
