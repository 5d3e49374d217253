"""Makes a conversation that goes on from a copy of another one's dialogue. All of it is stored as one."""

import asyncio
import hashlib
import json
from collections.abc import Container, Mapping, Sequence
from itertools import groupby

import structlog

from openhands_sessions.core.copying import EventCopies
from openhands_sessions.core.errors import (
    AlreadyExists,
    BadInput,
    Forbidden,
    LimitReached,
    NotAccepting,
    NotFound,
    TooLarge,
)
from openhands_sessions.core.events.codec import Stored, masked, recorded
from openhands_sessions.core.events.copies import ConversationForkedObservation
from openhands_sessions.core.events.event import AgentState, Event, Json, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import (
    CheckpointCreatedObservation,
    ModelChangedAction,
    SandboxReplacedObservation,
)
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.fold import Fold
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId
from openhands_sessions.core.lineage import Checkpoint
from openhands_sessions.core.permissions import Permission
from openhands_sessions.core.sandbox_use import RESULT_KINDS
from openhands_sessions.core.settings import begun
from openhands_sessions.core.snapshots import rungs
from openhands_sessions.core.state import StateChange
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.access import Principal
from openhands_sessions.ports.conversations import ForkSpec
from openhands_sessions.ports.state import StateScope
from openhands_sessions.ports.store import MEGABYTE, ConversationRow, LogBeginning, Receipt, Snapshot
from openhands_sessions.service.session_service import SessionService, owns
from openhands_sessions.service.settings import secret_of, without_secret
from openhands_sessions.service.state_files import StateFiles
from openhands_sessions.session.log_folding import FOLDED_AT_ONCE, Folding, batches_on, loading, snapshot_of, view_at
from openhands_sessions.session.new_sandbox import NEW_SANDBOX

log = structlog.get_logger(__name__)

FORK_KEY = "\0fork"
"""Under which the log of a fork keeps what it was made of: no command's key has a NUL."""
MOST_BYTES = 256 * MEGABYTE
"""Of the events of one fork: they are stored in one piece."""


class Forking:
    """One fork of the conversation `sid`, as a caller asks for it."""

    def __init__(self, sessions: SessionService, principal: Principal, sid: ConversationId, spec: ForkSpec) -> None:
        self._sessions = sessions
        self._store = sessions.store
        self._principal = principal
        self._sid = sid
        self._spec = spec
        self._files = StateFiles(sessions.stored_settings.files)
        self._receipt = Receipt(key=FORK_KEY, digest=_digest(sid, spec), event=UNNUMBERED)

    async def carry_out(self) -> None:
        """Make the conversation `spec.id`; the same again changes nothing. Raises NotFound, Forbidden, BadInput for
        no place between two turns, NotAccepting before there is one, AlreadyExists, TooLarge, LimitReached,
        StorageError."""
        if self._principal.link is not None:
            raise Forbidden("a link lets you in to one conversation: log in to fork it")
        row = await self._sessions.row(self._principal, self._sid, Permission.VIEW)
        if await self._made_before():
            await self._keep(await self._layer(row))
            return
        view = await self._sessions.descriptions.view(row)
        end = await self._place(row, view)
        try:
            await self._create(row, await self._beginning(row, view, end))
        except (LimitReached, TooLarge):
            if await self._store.conversations.get(self._spec.id) is None:
                await self._files.discard(self._spec.id)
            raise
        except AlreadyExists:
            if not await self._made_before():
                raise

    async def _made_before(self) -> bool:
        """Whether this very fork is there. Raises AlreadyExists where the id is another conversation's."""
        try:
            await self._sessions.row(self._principal, self._spec.id, Permission.OWN)
        except NotFound:
            return False
        except Forbidden:
            known = None
        else:
            known = await self._store.log(self._spec.id).receipt(FORK_KEY)
        if known is None or known.digest != self._receipt.digest:
            raise AlreadyExists(f"the conversation id {self._spec.id!r} is taken: fork under another one")
        return True

    async def _place(self, row: ConversationRow, view: ConversationView) -> EventId:
        """Up to which event is copied: the end of a turn, so that no call is without its result."""
        spec, end = self._spec, view.settled
        if spec.event is not None and spec.checkpoint is not None:
            raise BadInput("event", "and `checkpoint` cannot be combined: give one place, or none")
        if spec.event is not None:
            if not 0 <= spec.event <= view.head:
                raise BadInput("event", f"{spec.event} is no event of this conversation")
            how = Folding(load=loading(self._store.snapshots, row.id))
            at = await view_at(self._store.log(row.id), view.lineage, spec.event, how)
            if not at.between_turns:
                raise BadInput("event", f"{spec.event} lies within the turn that message {at.turn_message} opened")
            end = at.settled
        elif spec.checkpoint is not None:
            known = {one.name: one.at for one in view.lineage.checkpoints}
            if spec.checkpoint not in known:
                names = ", ".join(map(repr, known)) or "none"
                raise BadInput("checkpoint", f"{spec.checkpoint!r} is unknown; there is {names}")
            end = known[spec.checkpoint]
        if end == UNNUMBERED:
            raise NotAccepting("there is nothing to copy yet: no turn has ended, and the agent has no prompt")
        return end

    async def _beginning(self, row: ConversationRow, view: ConversationView, end: EventId) -> LogBeginning:
        """The copied log, as far as it is to be folded with its snapshots. Raises TooLarge, StorageError."""
        state = await self._state(row, view)
        entries, size = await self._copied(row, view, end)
        if size > MOST_BYTES:
            raise TooLarge(f"a fork copies at most {MOST_BYTES // MEGABYTE} MB of events", MOST_BYTES)
        fold, worth = Fold(ConversationView()), frozenset(rungs(len(entries)))
        snapshots = await _folded(fold, entries, worth)
        ran = any(entry.kind in RESULT_KINDS for entry in entries)
        for event in self._told(fold.view, view, end, ran=ran):
            numbered = evolve(event, id=EventId(len(entries)), timestamp=self._sessions.clock())
            entries.append(recorded(numbered)[1])
            fold.add(entries[-1])
        snapshots.append(snapshot_of(fold.view))
        return LogBeginning(entries=entries, snapshots=snapshots, receipt=self._receipt, state=state)

    async def _state(self, row: ConversationRow, view: ConversationView) -> StateChange | None:
        """What makes the state as it was at the place, up to the event, or to when the checkpoint was made, without the
        secrets that are known now."""
        at = _state_at(self._spec, view)
        found = await self._store.states.read(StateScope.session(row.id), at=at)
        masker = await self._sessions.masker(row)
        made = {"actor": self._principal.owner, "timestamp": self._sessions.clock()}
        return await self._files.begins(row.id, found, self._spec.id, masker, **made)

    async def _copied(self, row: ConversationRow, view: ConversationView, end: EventId) -> tuple[list[Stored], int]:
        """The copies of the chain up to `end`, without secrets that were recorded before they were known, and their
        size in characters, as far as it is allowed."""
        masker, copies = await self._sessions.masker(row), EventCopies(row.id)
        labels = {at: list(group) for at, group in groupby(sorted(view.lineage.checkpoints, key=_at), key=_at)}
        made: list[Stored] = []
        size = 0
        async for batch in batches_on(self._store.log(row.id), view.lineage.path(end), UNNUMBERED, end + 1):
            before = len(made)
            for entry in batch:
                made += copies.stored(entry, len(made))
                made += [self._labelled(one, len(made) + place) for place, one in enumerate(labels.get(entry.id, ()))]
            made[before:] = [masked(Event(), entry, masker)[1] for entry in made[before:]]
            size += sum(len(entry.text) for entry in made[before:])
            if size > MOST_BYTES:
                break
            await asyncio.sleep(0)  # others must not feel a long log
        return made, size

    def _labelled(self, checkpoint: Checkpoint, number: int) -> Stored:
        """Behind the copy of the event that the checkpoint is at, wherever in the log it was made."""
        made = CheckpointCreatedObservation(
            source=Source.USER, name=checkpoint.name, description=checkpoint.description
        )
        return recorded(evolve(made, id=EventId(number), timestamp=self._sessions.clock()))[1]

    def _told(self, copied: ConversationView, source: ConversationView, end: EventId, *, ran: bool) -> list[Event]:
        """What follows the copies: where they come from, and what is another thing here. `ran`: whether something has
        run in the other conversation's sandbox."""
        author = self._principal.owner
        forked = ConversationForkedObservation(source=Source.USER, author=author, conversation=self._sid, event=end)
        told: list[Event] = [forked]
        if source.model is not None and source.model != copied.model:
            told.append(ModelChangedAction(source=Source.USER, model=source.model, former=copied.model))
        if ran:
            # Said here, and not found out from the sandbox: what was copied is in no journal of it.
            told.append(SandboxReplacedObservation(content=NEW_SANDBOX))
        told.append(AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_INPUT))
        return told

    async def _create(self, source: ConversationRow, begins: LogBeginning) -> None:
        sessions, spec, moment = self._sessions, self._spec, self._sessions.clock()
        kept = await self._layer(source)
        settings = await sessions.stored_settings.merged(self._principal.owner, kept)
        title = spec.title if spec.title is not None else source.title
        row = ConversationRow(
            id=spec.id,
            owner=self._principal.owner,
            created_at=moment,
            updated_at=moment,
            title=(await sessions.masker(source)).of(title),
            trigger=source.trigger,
            repository=source.repository,
            forked_from=source.id,
            settings=without_secret(kept),
            began_with=begun(settings),
        )
        await self._store.conversations.create(row, limits=sessions.conversation_limits.stored, begins=begins)
        await self._keep(kept)
        sessions.registry.lists.changed(row.owner, row.id)
        sessions.note(self._principal, "forked", source.id, conversation=row.id)
        log.info("a conversation was forked", conversation_id=row.id, owner=row.owner, source=source.id)

    async def _layer(self, source: ConversationRow) -> dict[str, Json]:
        """What was set for the other conversation: it may hold keys, and is its owner's."""
        mine = owns(self._principal, source)
        return await self._sessions.stored_settings.kept(source.id, source.settings) if mine else {}

    async def _keep(self, layer: Mapping[str, Json]) -> None:
        """Keep the keys of the layer, unless some are kept: only now is the id ours. A crash before it is mended when
        the fork is asked for again."""
        settings = self._sessions.stored_settings
        if not await settings.kept(self._spec.id, {}):
            await settings.keep(self._spec.id, secret_of(layer))


async def _folded(fold: Fold, entries: Sequence[Stored], worth: Container[int]) -> list[Snapshot]:
    """Fold the entries; the snapshots at events that are `worth` one."""
    found: list[Snapshot] = []
    for entry in entries:
        fold.add(entry)
        if entry.id in worth:
            found.append(snapshot_of(fold.view))
        if entry.id % FOLDED_AT_ONCE == 0:
            await asyncio.sleep(0)  # others must not feel a long log
    return found


def _state_at(spec: ForkSpec, view: ConversationView) -> EventId | None:
    """Up to which event the state is copied; None for all of it."""
    if spec.checkpoint is None:
        return spec.event
    found = next(one for one in view.lineage.checkpoints if one.name == spec.checkpoint)
    return EventId(max(found.made - 1, found.at))


def _at(checkpoint: Checkpoint) -> EventId:
    return checkpoint.at


def _digest(sid: ConversationId, spec: ForkSpec) -> str:
    content = [sid, spec.event, spec.checkpoint, spec.title]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
