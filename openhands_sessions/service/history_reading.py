"""Reads the turns of a dialogue from its log, the newest first, however long the log is."""

import asyncio
from collections.abc import Sequence

from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import Stored, decode
from openhands_sessions.core.fold import Fold
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.lineage import Chain, at_most
from openhands_sessions.core.snapshots import SPACING
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.conversations import HistoryTurn
from openhands_sessions.ports.store import EventLog
from openhands_sessions.session.log_folding import FOLDED_AT_ONCE, LoadSnapshot, batches_on, nearest

LONGEST_TEXT = 200
"""Characters of a message that a turn is shown by."""
_WIDER = 4


async def newest_turns(
    log: EventLog, chain: Chain, end: EventId, limit: int, load: LoadSnapshot
) -> tuple[Sequence[HistoryTurn], bool]:
    """At most so many turns of the chain that began up to event `end`, oldest first, and whether there are older ones.
    A limit of 0 reads no event: then the second says whether there are any events. Raises DamagedRecord."""
    if limit == 0:
        return [], end != UNNUMBERED
    span = SPACING
    while True:
        start = await nearest(chain, at_most(chain, end - span), load)
        turns = await _turns(log, chain, start, end)
        if len(turns) >= limit or start.head == UNNUMBERED:
            older = start.turn_message != UNNUMBERED
            return turns[max(0, len(turns) - limit) :], older or len(turns) > limit
        span *= _WIDER


async def _turns(log: EventLog, chain: Chain, start: ConversationView, end: EventId) -> list[HistoryTurn]:
    """The turns that began after the view."""
    fold, turns = Fold(start), list[HistoryTurn]()
    async for batch in batches_on(log, chain, start.head, end + 1):
        for entry in batch:
            fold.add(entry)
            if fold.turn_message == entry.id:
                turns.append(HistoryTurn(entry.id, beginning(entry)))
            if entry.id % FOLDED_AT_ONCE == 0:
                await asyncio.sleep(0)
    return turns


def beginning(entry: Stored) -> str:
    """The beginning of a message's text, in one line."""
    event = decode(entry.text, entry.schema)
    text = " ".join(event.content.split()) if isinstance(event, MessageAction) else ""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
