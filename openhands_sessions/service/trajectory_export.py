"""A conversation's trajectory: all events but the hidden, without secrets, and what they have cost."""

from collections.abc import AsyncIterator
from dataclasses import replace

import orjson

from openhands_sessions.core.errors import StorageError
from openhands_sessions.core.event_filter import hidden
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.masking import SecretMasker
from openhands_sessions.core.money import dollars
from openhands_sessions.ports.store import ConversationRow
from openhands_sessions.service.session_service import SessionService
from openhands_sessions.session.placeholder import readable

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


async def exported(sessions: SessionService, row: ConversationRow) -> AsyncIterator[bytes]:
    """The file, in pieces. Raises StorageError."""
    masker = await sessions.masker(row)
    before = '{"trajectory":['
    async for batch in readable(sessions.store.log(row.id)):
        texts = [_exported(entry, masker).text for entry in batch if not hidden(entry)]
        if texts:
            yield f"{before}{','.join(texts)}".encode()
            before = ","
    told = orjson.dumps({"user_id": row.owner, "total_cost": await _cost(sessions, row)})
    opening = b"" if before == "," else before.encode()
    yield opening + b"]," + told[1:]


async def to_be_saved(sessions: SessionService, sid: ConversationId) -> AsyncIterator[bytes] | None:
    """The file that is saved elsewhere; None where the conversation is gone, or its owner wants none saved. Raises
    StorageError, BadInput."""
    row = await sessions.store.conversations.get(sid)
    if row is None or not (await sessions.settings(row)).save_trajectory:
        return None
    return exported(sessions, row)


async def _cost(sessions: SessionService, row: ConversationRow) -> float | None:
    try:
        return dollars((await sessions.descriptions.view(row)).spent.cost)
    except StorageError:
        return None


def _exported(entry: Stored, masker: SecretMasker) -> Stored:
    """Without what is left out of a page, and without secrets that were recorded before they were known. Looks into an
    event only where there may be something."""
    page = entry.kind == PAGE
    if not page and not masker.touches(entry.text):
        return entry
    wire = masker.tree(orjson.loads(entry.text))
    extras = wire.get("extras")
    if page and isinstance(extras, dict):
        wire["extras"] = {key: value for key, value in extras.items() if key not in NOT_EXPORTED}
    return replace(entry, text=orjson.dumps(wire).decode())
