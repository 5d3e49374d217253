"""One caller's list of conversations in this process, as it changes."""

from collections.abc import AsyncGenerator, Sequence

from openhands_sessions.core.errors import DamagedRecord
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.ports.conversations import ListChange, ListItem, ListSnapshot
from openhands_sessions.ports.sharing import Grantee
from openhands_sessions.ports.store import ConversationRow
from openhands_sessions.service.conversation_pages import page_of
from openhands_sessions.service.list_feed import KEPT, ListFollower
from openhands_sessions.service.session_service import SessionService

LONGEST = 200
"""Rows of a snapshot."""


class LocalList:
    """A FollowedList."""

    def __init__(self, sessions: SessionService, owner: OwnerId, follower: ListFollower) -> None:
        self._sessions = sessions
        self._owner = owner
        self._follower = follower
        self._number = -1
        self._joined = False

    def renew(self) -> None:
        self._follower.renew()

    async def items(self) -> AsyncGenerator[Sequence[ListItem], None]:
        while (sids := await self._follower.take()) is None or sids:
            if sids is None:
                await self._join()
                page = await page_of(self._sessions, self._owner, limit=LONGEST)
                yield [ListSnapshot(self._next(), page.conversations, page.next_page)]
            elif changes := await self._changes(sids):
                yield changes

    async def _join(self) -> None:
        """Hear of what is shared with the caller. After the first look at what is to be told: a client that asks for
        another snapshot from then on gets one."""
        if not self._joined:
            theirs = await self._sessions.store.conversations.page(None, limit=KEPT, guest=self._owner)
            self._sessions.registry.lists.join(self._owner, (row.id for row in theirs))
            self._joined = True

    async def _changes(self, sids: Sequence[ConversationId]) -> Sequence[ListChange]:
        """Of the conversations that stand in the caller's list, and of those that are gone. One whose row is damaged is
        left out, as in pages."""
        rows: dict[ConversationId, ConversationRow] = {}
        gone: set[ConversationId] = set()
        for sid in sids:
            try:
                row = self._sessions.registry.row(sid) or await self._sessions.store.conversations.get(sid)
            except DamagedRecord:
                continue
            if row is None:
                gone.add(sid)
            else:
                rows[sid] = row
        others = [sid for sid, row in rows.items() if row.owner != self._owner]
        if others:
            shared = await self._sessions.store.shares.permissions(Grantee("user", self._owner), others)
            for sid in others:
                if sid not in shared:
                    del rows[sid]
                    gone.add(sid)
        infos = await self._sessions.descriptions.summaries([*rows.values()], self._owner)
        shown = {info.id: info for info in infos}
        return [ListChange(self._next(), sid, shown.get(sid)) for sid in sids if sid in shown or sid in gone]

    def _next(self) -> int:
        self._number += 1
        return self._number
