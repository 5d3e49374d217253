"""The state of a program's session, of its user, or of its app, in the store. Runs on the private loop."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from uuid import uuid4

from openhands_sessions.bootstrap.library import Library
from openhands_sessions.core.errors import NotFound
from openhands_sessions.core.ids import LOCAL_OWNER, owner_id
from openhands_sessions.core.state import KeyedState, StateChange, StateOperation
from openhands_sessions.core.state_keys import StateKind
from openhands_sessions.ports.state import NumberedChange, StateScope
from openhands_sessions.sdk.held_state import reading_of
from openhands_sessions.sdk.opening import Opening
from openhands_sessions.sdk.program_conversation import ProgramConversation
from openhands_sessions.sdk.state_reading import StateReading


class StoredState:
    """One scope, as its session sees it. No call needs the session to be open, or waits for a turn."""

    def __init__(self, library: Library, conversation: ProgramConversation, kind: StateKind) -> None:
        self._library = library
        self._conversation = conversation
        self._states = conversation.access.states
        self._scope = _scope(conversation.opening, kind)
        self._actor = conversation.opening.owner or LOCAL_OWNER

    async def read(self, *keys: str) -> StateReading:
        """Of these keys, or of all. Nothing is set where the session has not begun."""
        try:
            state = await self._states.read(self._scope)
        except NotFound:
            state = KeyedState()
        large = [key for key, entry in state.entries.items() if entry.file is not None and (not keys or key in keys)]
        return reading_of(state, {key: await self._states.file(self._scope, key) for key in large}, keys)

    async def change(
        self, operations: Sequence[StateOperation], bases: Mapping[str, int] | None = None
    ) -> StateReading:
        """Make a change; what its keys are then. A session that has not begun begins. Raises RevisionConflict,
        BadInput, TooLarge, StorageError."""
        change = StateChange(
            id=uuid4().hex,
            operations=tuple(operations),
            actor=self._actor,
            timestamp=datetime.now(UTC),
            bases=bases or {},
        )
        try:
            done = await self._states.change(self._scope, change)
        except NotFound:
            await self._conversation.open()
            done = await self._states.change(self._scope, change)
        entries = {key: entry for key, entry in done.entries.items() if entry is not None and entry.file is None}
        return reading_of(KeyedState(done.revision, entries), {}, change.keys)

    async def changes(self, after: int, limit: int) -> Sequence[NumberedChange]:
        """As many as are asked for, in pages as the store gives them."""
        found: list[NumberedChange] = []
        try:
            while len(found) < limit:
                page = await self._states.changes(self._scope, after=after, limit=limit - len(found))
                if not page:
                    break
                found += page
                after = page[-1].revision
        except NotFound:
            pass
        return found

    async def watch(self) -> AsyncGenerator[StateReading, None]:
        """As it is, then as it is after changes of any process."""
        async with self._library.state_moments(self._scope) as moments:
            last = await self.read()
            yield last
            async for _ in moments:
                found = await self.read()
                if found != last:
                    last = found
                    yield found


def _scope(opening: Opening, kind: StateKind) -> StateScope:
    match kind:
        case "session":
            return StateScope.session(opening.sid)
        case "user":
            return StateScope.user(LOCAL_OWNER if opening.owner is None else owner_id(opening.owner))
        case _:
            return StateScope("app", opening.app)
