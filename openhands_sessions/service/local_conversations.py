"""One caller's conversations in this process's store: pages, events, exports, deletion."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import structlog

from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import Stored, decode
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.history_changes import HistoryChange, read_change
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId
from openhands_sessions.core.lineage import at_most, on_chain
from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.access import Principal
from openhands_sessions.ports.conversations import (
    ANY_CONVERSATION,
    ConversationFilter,
    ConversationPage,
    DialogueDiff,
    DialogueHistory,
    EventRange,
    FollowedList,
    ForkSpec,
)
from openhands_sessions.ports.runtime import Runtimes
from openhands_sessions.service.conversation_pages import page_of
from openhands_sessions.service.dialogue_diff import diff
from openhands_sessions.service.forking import Forking
from openhands_sessions.service.history_reading import newest_turns
from openhands_sessions.service.local_list import LocalList
from openhands_sessions.service.session_service import SessionService
from openhands_sessions.service.trajectory_export import exported
from openhands_sessions.session.log_folding import loading
from openhands_sessions.session.placeholder import Placeholder, readable

log = structlog.get_logger(__name__)

LONGEST_TITLE = 200
REMEMBERED = 400
"""Events that a wish to remember looks at."""


class LocalConversations:
    """Sees the conversations of one principal, and those that are shared with it."""

    def __init__(self, sessions: SessionService, runtimes: Runtimes, principal: Principal) -> None:
        self._sessions = sessions
        self._runtimes = runtimes
        self._principal = principal
        self._rows = sessions.store.conversations

    async def check(self, sid: ConversationId, needs: Permission = Permission.VIEW) -> None:
        await self._sessions.row(self._principal, sid, needs)

    async def page(
        self,
        *,
        limit: int,
        page_id: str | None = None,
        matching: ConversationFilter = ANY_CONVERSATION,
        count: bool = False,
    ) -> ConversationPage:
        owner = self._principal.owner
        page = await page_of(self._sessions, owner, limit=limit, page_id=page_id, matching=matching)
        if not count:
            return page
        theirs = await self._rows.count(None, matching, guest=owner)
        return replace(page, total=await self._rows.count(owner, matching) + theirs)

    async def rename(self, sid: ConversationId, title: str) -> str:
        row = await self._sessions.row(self._principal, sid, Permission.OWN)
        title = title.strip()
        if not 1 <= len(title) <= LONGEST_TITLE:
            raise BadInput("title", f"must have 1 to {LONGEST_TITLE} characters")
        title = (await self._sessions.masker(row)).text(title)
        await self._rows.update(sid, {"title": title})
        self._sessions.registry.retitled(sid, title, self._principal.owner)
        self._sessions.note(self._principal, "renamed", sid)
        return title

    async def mark_read(self, sid: ConversationId, event: EventId) -> EventId:
        await self.check(sid)
        registry, owner = self._sessions.registry, self._principal.owner
        session = registry.find(sid)
        head = UNNUMBERED if session is None else session.event_stream.view.head
        if event > head and event > (head := await self._sessions.store.log(sid).head()):
            newest = f"at most {head}, the newest event" if head >= 0 else "left out: there is no event yet"
            raise BadInput("event_id", f"must be {newest}")
        mark = await self._sessions.store.read_marks.raise_to(owner, sid, event)
        registry.lists.changed(owner, sid)
        return mark

    @asynccontextmanager
    async def follow_list(self) -> AsyncIterator[FollowedList]:
        owner = self._principal.owner
        with self._sessions.registry.lists.follower(owner) as follower:
            yield LocalList(self._sessions, owner, follower)

    async def delete(self, sid: ConversationId) -> bool:
        """It is gone from lists when nothing is left: a deletion that fails or is cut off can be asked for again."""
        try:
            await self.check(sid, Permission.OWN)
        except NotFound:
            return False
        await self._empty(sid)
        deleted = await self._rows.delete(sid)
        await self._empty(sid)  # of what a client has begun meanwhile
        if deleted:
            self._sessions.registry.lists.changed(self._principal.owner, sid)
            self._sessions.note(self._principal, "deleted", sid)
            log.info("a conversation was deleted", conversation_id=sid, owner=self._principal.owner)
        return deleted

    async def _empty(self, sid: ConversationId) -> None:
        await self._sessions.registry.close(sid, "deleted")
        await self._runtimes.discard(sid)
        await self._sessions.forget(sid)

    async def events(self, sid: ConversationId, wanted: EventRange) -> tuple[Sequence[Stored], bool]:
        await self.check(sid)
        found: list[Stored] = []
        limit, matching = wanted.limit, wanted.matching
        before = None if wanted.end is None else wanted.end + 1
        most = limit + 1 if matching is None else None
        log = self._sessions.store.log(sid)
        async for batch in readable(log, wanted.start - 1, before=before, reverse=wanted.reverse, limit=most):
            # Whether a damaged event matches is unknown: the damage is reported.
            found += [
                entry
                for entry in batch
                if matching is None or isinstance(entry, Placeholder) or matching.matches(entry)
            ]
            if len(found) > limit:
                break
        return found[:limit], len(found) > limit

    async def history(self, sid: ConversationId, *, limit: int, before: EventId | None = None) -> DialogueHistory:
        row = await self._sessions.row(self._principal, sid, Permission.VIEW)
        view = await self._sessions.descriptions.view(row)
        store, chain, lineage = self._sessions.store, view.chain, view.lineage
        end = view.head if before is None else EventId(before - 1)
        load = loading(store.snapshots, sid)
        turns, more = await newest_turns(store.log(sid), chain, at_most(chain, end), limit, load)
        return DialogueHistory(
            branch=lineage.branch,
            chain=chain,
            turns=turns,
            more=more,
            branches=lineage.branches,
            checkpoints=lineage.checkpoints,
        )

    async def history_change(self, sid: ConversationId, event: EventId) -> HistoryChange:
        async def read(start: EventId, limit: int) -> Sequence[Stored]:
            found, _ = await self.events(sid, EventRange(start=start, limit=limit))
            return found

        return await read_change(read, event)

    async def diff(
        self, sid: ConversationId, other: ConversationId | None = None, branch: str | None = None
    ) -> DialogueDiff:
        return await diff(self._sessions, self._principal, sid, other, branch)

    async def fork(self, sid: ConversationId, spec: ForkSpec) -> None:
        await Forking(self._sessions, self._principal, sid, spec).carry_out()

    async def export(self, sid: ConversationId) -> AsyncIterator[bytes]:
        row = await self._sessions.row(self._principal, sid, Permission.VIEW)
        self._sessions.note(self._principal, "exported", sid)
        async for piece in exported(self._sessions, row):
            yield piece

    async def remember_prompt(self, sid: ConversationId, event: int) -> str:
        row = await self._sessions.row(self._principal, sid, Permission.VIEW)
        found: list[Stored] = []
        chain = (await self._sessions.descriptions.view(row)).lineage.path(event)
        async for batch in readable(self._sessions.store.log(sid), before=event + 1, reverse=True, limit=REMEMBERED):
            found.extend(entry for entry in batch if on_chain(chain, entry.id))
        return remember_prompt([decode(entry.text, entry.schema) for entry in reversed(found)])


NEWEST = 20
"""Messages that are looked at, the newest of those up to the event."""
LONGEST = 2_000
"""Characters of one message that are shown."""
WISH = """\
Write down what a future conversation about this repository should know, in `.openhands/microagents/repo.md`: keep what
is there and still true, add what we found out, and leave out what concerns this task alone. It is about what we said:
"""


def remember_prompt(events: Sequence[Event]) -> str:
    """A message to the agent, made of the messages among `events`, in their order."""
    said = [event for event in events if isinstance(event, MessageAction) and event.content.strip()]
    lines = [f"{_who(event)}: {_cut(event.content.strip())}" for event in said[-NEWEST:]]
    return "\n".join([WISH.rstrip(), "", *lines]).rstrip()


def _who(event: Event) -> str:
    return "user" if event.source is Source.USER else "agent"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
