"""What two dialogues that began alike have each for itself."""

import asyncio
from collections.abc import Sequence

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.merging import WholeTurn, shared_beginning
from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.access import Principal
from openhands_sessions.ports.conversations import DialogueDiff, HistoryTurn
from openhands_sessions.ports.store import ConversationRow
from openhands_sessions.service.history_reading import beginning
from openhands_sessions.service.session_service import SessionService
from openhands_sessions.session.related_dialogues import AT_ONCE, branch_chain, dialogue_turns

MESSAGE = f"action:{MessageAction.KIND}"


async def diff(
    sessions: SessionService,
    principal: Principal,
    sid: ConversationId,
    other: ConversationId | None,
    branch: str | None,
) -> DialogueDiff:
    """See `Conversations.diff`."""
    if other is None and branch is None:
        raise BadInput("conversation", "or `branch`, or both, must say what to compare with")
    row = await sessions.row(principal, sid, Permission.VIEW)
    beside = row if other is None else await sessions.row(principal, other, Permission.VIEW)
    ours, theirs = await _turns(sessions, row, None), await _turns(sessions, beside, branch)
    return DialogueDiff(
        shared=shared_beginning(ours, theirs), ours=await own_turns(ours, theirs), theirs=await own_turns(theirs, ours)
    )


async def _turns(sessions: SessionService, row: ConversationRow, branch: str | None) -> Sequence[WholeTurn]:
    view = await sessions.descriptions.view(row)
    return await dialogue_turns(sessions.store, row.id, branch_chain(view, branch))


async def own_turns(turns: Sequence[WholeTurn], others: Sequence[WholeTurn]) -> Sequence[HistoryTurn]:
    known = {turn.key for turn in others}
    found: list[HistoryTurn] = []
    own = (turn for turn in turns if turn.key not in known)
    for count, turn in enumerate(own, 1):
        if (shown := _shown(turn)) is not None:
            found.append(shown)
        if count % AT_ONCE == 0:
            await asyncio.sleep(0)  # others must not feel a long dialogue
    return found


def _shown(turn: WholeTurn) -> HistoryTurn | None:
    """A turn by the user's message that opened it; None for what no message has opened, such as a seed."""
    for entry in turn.entries:
        event = decode(entry.text, entry.schema) if entry.kind == MESSAGE else None
        if isinstance(event, MessageAction) and event.source is Source.USER:
            return HistoryTurn(event.id, beginning(entry))
    return None
