"""The states that one caller may see, in this process's store."""

from collections.abc import Sequence
from dataclasses import replace

from openhands_sessions.core.errors import BadInput, Forbidden, NotFound
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.permissions import Permission
from openhands_sessions.core.state import BEGINNING, KeyedState, StateChange, checked, without_secrets
from openhands_sessions.ports.access import Principal
from openhands_sessions.ports.state import NumberedChange, StateChanged, StateScope
from openhands_sessions.ports.store import ConversationRow
from openhands_sessions.service.session_service import SessionService
from openhands_sessions.service.state_files import StateFiles
from openhands_sessions.service.state_news import StateNews


class LocalStates:
    """A States of one principal."""

    def __init__(
        self, sessions: SessionService, files: StateFiles, news: StateNews, principal: Principal, *, users_apart: bool
    ) -> None:
        """`users_apart`: whether callers are different users; then those of them who are operators change the states of
        apps."""
        self._sessions = sessions
        self._states = sessions.store.states
        self._files = files
        self._news = news
        self._principal = principal
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
        change = checked(change)
        if change.id == BEGINNING:
            raise BadInput("id", f"must not be {BEGINNING!r}: the state of a fork begins with it")
        change = replace(change, actor=self._principal.owner, timestamp=self._sessions.clock())
        if row is not None:
            change = await self._masked(row, change)
        done = await self._states.change(scope, await self._files.keep(scope, change))
        self._news.changed(scope)
        return done

    async def changes(self, scope: StateScope, *, after: int = 0, limit: int) -> Sequence[NumberedChange]:
        await self._check(scope, Permission.VIEW)
        return await self._states.changes(scope, after=after, limit=limit)

    async def _masked(self, row: ConversationRow, change: StateChange) -> StateChange:
        """Without the secrets that the conversation's owner has."""
        if all(isinstance(each.value, int | float | None) for each in change.operations):
            return change
        return without_secrets(change, await self._sessions.masker(row))

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
