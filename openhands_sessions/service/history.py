"""What lists and exports show: conversations by page, events by page, the whole trajectory."""

import base64
import binascii
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.events.codec import Stored, decode
from openhands_sessions.core.ids import ConversationId, OwnerId, conversation_id
from openhands_sessions.ports.gateway import SessionInfo
from openhands_sessions.ports.runtime import Runtimes
from openhands_sessions.ports.store import ANY_ROW, ConversationRow, RowFilter, SessionStore
from openhands_sessions.service.event_filter import EventFilter, hidden
from openhands_sessions.service.local_gateway import LocalGateway
from openhands_sessions.service.remember_prompt import remember_prompt
from openhands_sessions.service.settings import SettingsStore

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


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """Conversations, and where the next page begins; None on the last."""

    conversations: Sequence[SessionInfo]
    next_page: str | None


class History:
    """Conversations of one owner. An id of somebody else's is NotFound, like an unknown one."""

    def __init__(self, store: SessionStore, gateway: LocalGateway, runtimes: Runtimes, settings: SettingsStore) -> None:
        self._store = store
        self._gateway = gateway
        self._runtimes = runtimes
        self._settings = settings

    async def find(self, owner: OwnerId, sid: ConversationId) -> ConversationRow:
        """The row. Raises NotFound."""
        row = await self._store.conversations.get(sid)
        if row is None or row.owner != owner:
            raise NotFound("conversation", sid)
        return row

    async def page(
        self, owner: OwnerId, *, limit: int, page_id: str | None, matching: RowFilter = ANY_ROW
    ) -> ConversationPage:
        """Newest first. Raises BadInput for a page id that no list gave."""
        before = None if not page_id else _decode_page(page_id)
        rows = await self._store.conversations.page(owner, limit=limit + 1, before=before, matching=matching)
        shown = rows[:limit]
        infos = [self._gateway.summary(row) for row in shown]
        return ConversationPage(infos, _encode_page(shown[-1]) if len(rows) > limit else None)

    async def rename(self, owner: OwnerId, sid: ConversationId, title: str) -> str:
        """The title as it is kept. Raises NotFound, and BadInput for an empty or too long one."""
        title = title.strip()
        if not 1 <= len(title) <= LONGEST_TITLE:
            raise BadInput("title", f"must have 1 to {LONGEST_TITLE} characters")
        await self.find(owner, sid)
        await self._store.conversations.update(sid, {"title": title})
        return title

    async def delete(self, owner: OwnerId, sid: ConversationId) -> bool:
        """End the session and delete the conversation with all that is its own; False where there was none. It is gone
        from lists when nothing is left: a deletion that fails or is cut off can be asked for again."""
        try:
            await self.find(owner, sid)
        except NotFound:
            return False
        await self._empty(sid)
        deleted = await self._store.conversations.delete(sid)
        await self._empty(sid)  # of what a client has begun meanwhile
        return deleted

    async def _empty(self, sid: ConversationId) -> None:
        await self._gateway.close(sid, "deleted")
        await self._runtimes.discard(sid)
        await self._settings.forget(sid)

    async def events(
        self,
        sid: ConversationId,
        *,
        start: int,
        end: int | None,
        reverse: bool,
        limit: int,
        matching: EventFilter | None = None,
    ) -> tuple[Sequence[Stored], bool]:
        """Up to `limit` events from `start` to `end` (both included) that match, and whether there are more."""
        found: list[Stored] = []
        before = None if end is None else end + 1
        most = limit + 1 if matching is None else None
        async for batch in self._store.log(sid).read(start - 1, before=before, reverse=reverse, limit=most):
            found += batch if matching is None else filter(matching.matches, batch)
            if len(found) > limit:
                break
        return found[:limit], len(found) > limit

    async def remember_prompt(self, sid: ConversationId, event: int) -> str:
        """A message that has the agent write down what was found out up to an event."""
        found: list[Stored] = []
        async for batch in self._store.log(sid).read(before=event + 1, reverse=True, limit=REMEMBERED):
            found.extend(batch)
        return remember_prompt([decode(entry.text, entry.schema) for entry in reversed(found)])

    async def trajectory(self, sid: ConversationId) -> AsyncIterator[Sequence[Stored]]:
        """Every event, by id, in batches; hidden ones are left out, and what browsed pages looked like."""
        async for batch in self._store.log(sid).read():
            yield [_exported(entry) for entry in batch if not hidden(entry)]


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
