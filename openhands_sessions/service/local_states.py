"""The states that one caller may see, in this process's store."""

from collections.abc import Sequence
from dataclasses import replace

from openhands_sessions.core.errors import BadInput, CallerError, Forbidden, NotFound, RevisionConflict
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.permissions import Permission
from openhands_sessions.core.state import BEGINNING, KeyedState, StateChange, added_size, apply
from openhands_sessions.ports.access import Principal
from openhands_sessions.ports.state import NumberedChange, StateChanged, StateScope
from openhands_sessions.ports.store import ConversationRow
from openhands_sessions.service.session_service import SessionService
from openhands_sessions.service.state_checks import StateChecks, has_texts
from openhands_sessions.service.state_files import PlannedFiles, StateFiles
from openhands_sessions.service.state_news import StateNews

_NO_BASE = -1
"""A revision that no key has."""


class LocalStates:
    """A States of one principal."""

    def __init__(
        self,
        sessions: SessionService,
        files: StateFiles,
        news: StateNews,
        principal: Principal,
        *,
        checks: StateChecks,
        users_apart: bool,
    ) -> None:
        """`users_apart`: whether callers are different users; then those of them who are operators change the states of
        apps."""
        self._sessions = sessions
        self._states = sessions.store.states
        self._files = files
        self._news = news
        self._principal = principal
        self._checks = checks
        self._users_apart = users_apart

    async def read(self, scope: StateScope) -> KeyedState:
        await self._check(scope, Permission.VIEW)
        return await self._states.read(scope)

    async def file(self, scope: StateScope, key: str) -> Json:
        entry = (await self.read(scope)).entries.get(key)
        if entry is None or entry.file is None:
            raise NotFound("value", key)
        return await self._files.read(scope, entry.file)

    async def change(self, scope: StateScope, change: StateChange) -> StateChanged:
        row = await self._check(scope, Permission.WRITE)
        if change.id == BEGINNING:
            raise BadInput("id", f"must not be {BEGINNING!r}: the state of a fork begins with it")
        masker = await self._sessions.masker(row) if row is not None and has_texts(change) else None
        change = replace(change, actor=self._principal.owner, timestamp=self._sessions.clock())
        plan = await self._checks.prepared(change, masker)
        if plan.contents:
            await self._write(scope, plan)
        done = await self._states.change(scope, plan.change)
        self._news.changed(scope)
        return done

    async def changes(self, scope: StateScope, *, after: int = 0, limit: int) -> Sequence[NumberedChange]:
        await self._check(scope, Permission.VIEW)
        return await self._states.changes(scope, after=after, limit=limit)

    async def _write(self, scope: StateScope, plan: PlannedFiles) -> None:
        """Write the files of a change, unless it would be refused: then no file is left behind. Raises as
        `StateStore.change` does. A change that was made before is let pass."""
        state = await self._states.read(scope)
        try:
            after = apply(plan.change, state.entries, state.revision + 1)
            added_size(state.entries, after, sum(entry.size for entry in state.entries.values()))
        except CallerError as refusal:
            await self._must_be_known(scope, plan.change, refusal)
            return
        await self._files.write(scope, plan)

    async def _must_be_known(self, scope: StateScope, change: StateChange, refusal: CallerError) -> None:
        """Raises the refusal where the store has no change of this id: on a base that no key ever has, the store
        accepts only what it has made already."""
        try:
            await self._states.change(
                scope, replace(change, bases={**change.bases, change.operations[0].key: _NO_BASE})
            )
        except RevisionConflict:
            raise refusal from None

    async def _check(self, scope: StateScope, needs: Permission) -> ConversationRow | None:
        """The conversation, for the state of one. Raises NotFound for what is not the caller's to see, Forbidden for
        what it may not change."""
        caller = self._principal
        match scope.kind:
            case "session":
                return await self._sessions.row(caller, ConversationId(scope.name), needs)
            case "user" if caller.link is not None or scope.name != caller.owner:
                raise NotFound("user", scope.name)
            case "app" if caller.link is not None:
                raise NotFound("app", scope.name)
            case "app" if needs is not Permission.VIEW and self._users_apart and not caller.watches:
                raise Forbidden("the state of an app is the same for all users: only operators change it")
        return None
