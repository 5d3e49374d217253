"""One caller's conversations in this process's store: pages, events, exports, deletion."""

import base64
import binascii
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime

import orjson
import structlog

from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.event_filter import hidden
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import Stored, decode
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.ids import ConversationId, conversation_id
from openhands_sessions.ports.access import Principal
from openhands_sessions.ports.conversations import ANY_CONVERSATION, ConversationFilter, ConversationPage, EventRange
from openhands_sessions.ports.runtime import Runtimes
from openhands_sessions.ports.store import ConversationRow
from openhands_sessions.service.session_service import SessionService
from openhands_sessions.session.placeholder import Placeholder, readable

log = structlog.get_logger(__name__)

LONGEST_TITLE = 200
REMEMBERED = 400
"""Events that a wish to remember looks at."""
PAGE = "observation:browse"
NOT_EXPORTED = frozenset(
    {
        "dom_object",
        "axtree_object",
        "active_page_index",
        "last_browser_action",
        "last_browser_action_error",
        "focused_element_bid",
        "extra_element_properties",
        "screenshot",
        "set_of_marks",
    }
)
"""Extras of a browsed page that an export leaves out."""


class LocalConversations:
    """Sees the conversations of one principal."""

    def __init__(self, sessions: SessionService, runtimes: Runtimes, principal: Principal) -> None:
        self._sessions = sessions
        self._runtimes = runtimes
        self._principal = principal
        self._rows = sessions.store.conversations

    async def check(self, sid: ConversationId) -> None:
        await self._sessions.row(self._principal, sid)

    async def page(
        self,
        *,
        limit: int,
        page_id: str | None = None,
        matching: ConversationFilter = ANY_CONVERSATION,
        count: bool = False,
    ) -> ConversationPage:
        before = None if not page_id else _decode_page(page_id)
        owner = self._principal.owner
        rows = await self._rows.page(owner, limit=limit + 1, before=before, matching=matching)
        shown = rows[:limit]
        infos = [self._sessions.summary(row) for row in shown]
        total = await self._rows.count(owner, matching) if count else None
        return ConversationPage(infos, _encode_page(shown[-1]) if len(rows) > limit else None, total)

    async def rename(self, sid: ConversationId, title: str) -> str:
        await self.check(sid)
        title = title.strip()
        if not 1 <= len(title) <= LONGEST_TITLE:
            raise BadInput("title", f"must have 1 to {LONGEST_TITLE} characters")
        await self._rows.update(sid, {"title": title})
        self._sessions.registry.retitled(sid, title)
        return title

    async def delete(self, sid: ConversationId) -> bool:
        """It is gone from lists when nothing is left: a deletion that fails or is cut off can be asked for again."""
        try:
            await self.check(sid)
        except NotFound:
            return False
        await self._empty(sid)
        deleted = await self._rows.delete(sid)
        await self._empty(sid)  # of what a client has begun meanwhile
        if deleted:
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
            # Whether a damaged event matches, nobody knows: it is told of.
            found += [
                entry
                for entry in batch
                if matching is None or isinstance(entry, Placeholder) or matching.matches(entry)
            ]
            if len(found) > limit:
                break
        return found[:limit], len(found) > limit

    async def export(self, sid: ConversationId) -> AsyncIterator[bytes]:
        await self.check(sid)
        before = "["
        async for batch in readable(self._sessions.store.log(sid)):
            texts = [_exported(entry).text for entry in batch if not hidden(entry)]
            if texts:
                yield f"{before}{','.join(texts)}".encode()
                before = ","
        yield b"]" if before == "," else b"[]"

    async def remember_prompt(self, sid: ConversationId, event: int) -> str:
        await self.check(sid)
        found: list[Stored] = []
        log = self._sessions.store.log(sid)
        async for batch in readable(log, before=event + 1, reverse=True, limit=REMEMBERED):
            found.extend(batch)
        return remember_prompt([decode(entry.text, entry.schema) for entry in reversed(found)])


def _exported(entry: Stored) -> Stored:
    """Looks into an event only where its kind says that there is something to leave out."""
    if entry.kind != PAGE:
        return entry
    wire = orjson.loads(entry.text)
    extras = wire.get("extras")
    if not isinstance(extras, dict):
        return entry
    wire["extras"] = {key: value for key, value in extras.items() if key not in NOT_EXPORTED}
    return replace(entry, text=orjson.dumps(wire).decode())


def _encode_page(row: ConversationRow) -> str:
    place = {"v0": [row.created_at.isoformat(), row.id], "v1": None}
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode()


def _decode_page(page_id: str) -> tuple[datetime, ConversationId]:
    try:
        text, sid = orjson.loads(base64.urlsafe_b64decode(page_id))["v0"]
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("a time without its zone")
        return moment, conversation_id(sid)
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise BadInput("page_id", "is not one that a list gave") from error


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
