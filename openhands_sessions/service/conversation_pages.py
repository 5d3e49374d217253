"""Pages of one caller's conversations."""

import base64
import binascii
from datetime import datetime

import orjson

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.ids import ConversationId, OwnerId, conversation_id
from openhands_sessions.ports.conversations import ANY_CONVERSATION, ConversationFilter, ConversationPage
from openhands_sessions.ports.store import ConversationRow
from openhands_sessions.service.session_service import SessionService


async def page_of(
    sessions: SessionService,
    owner: OwnerId,
    *,
    limit: int,
    page_id: str | None = None,
    matching: ConversationFilter = ANY_CONVERSATION,
) -> ConversationPage:
    """The newest of one's own and of those that are shared with one, or those after a page; without the total. Raises
    BadInput for a page id that no page gave."""
    before = None if not page_id else _decode_page(page_id)
    pages = sessions.store.conversations
    own = await pages.page(owner, limit=limit + 1, before=before, matching=matching)
    theirs = await pages.page(None, limit=limit + 1, before=before, matching=matching, guest=owner)
    rows = sorted((*own, *theirs), key=_place, reverse=True) if theirs else own
    shown = rows[:limit]
    infos = await sessions.descriptions.summaries(shown, owner)
    return ConversationPage(infos, _encode_page(shown[-1]) if len(rows) > limit else None)


def _place(row: ConversationRow) -> tuple[datetime, ConversationId]:
    return row.created_at, row.id


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
