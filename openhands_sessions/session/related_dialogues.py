"""Reads whole dialogues: of a conversation, of a branch of it, and of another one that may have begun alike."""

import asyncio
from collections.abc import Sequence

from openhands_sessions.core.errors import BadInput, TooLarge
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import UNNUMBERED, ConversationId
from openhands_sessions.core.lineage import Chain
from openhands_sessions.core.merging import WholeTurn, whole_turns
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.log_folding import Folding, batches_on, folded, loading

LARGEST_DIALOGUE = 64 * 1024 * 1024
"""Bytes of a dialogue that is compared or merged; all of it is held."""
EVENT_BYTES = 500
"""What an event weighs besides its text."""
AT_ONCE = 200
"""Events, or turns, that are looked at before others have their turn on the loop."""


async def dialogue_turns(store: SessionStore, sid: ConversationId, chain: Chain) -> Sequence[WholeTurn]:
    """The whole turns of a chain of the conversation. Raises StorageError, TooLarge."""
    entries: list[Stored] = []
    size = 0
    if chain:
        async for batch in batches_on(store.log(sid), chain, UNNUMBERED, chain[-1][1] + 1):
            size += sum(len(entry.text.encode()) + EVENT_BYTES for entry in batch)
            if size > LARGEST_DIALOGUE:
                raise TooLarge(
                    f"a dialogue that is compared or merged may take {LARGEST_DIALOGUE:,} bytes,"
                    f" with {EVENT_BYTES} for each event",
                    LARGEST_DIALOGUE,
                )
            entries.extend(batch)
    turns: list[WholeTurn] = []
    seen = 0
    for turn in whole_turns(sid, entries):
        turns.append(turn)
        seen += len(turn.entries)
        if seen >= AT_ONCE:
            seen = 0
            await asyncio.sleep(0)  # others must not feel a long log
    return turns


async def stored_view(store: SessionStore, sid: ConversationId) -> ConversationView:
    """The fold of what is stored. Raises StorageError."""
    how = Folding(load=loading(store.snapshots, sid))
    return await folded(store.log(sid), await store.snapshots.load(sid), how)


def branch_chain(view: ConversationView, branch: str | None) -> Chain:
    """The chain of a branch; None for the one that the dialogue is on. Raises BadInput for an unknown one."""
    lineage = view.lineage
    if branch in (None, lineage.branch):
        return view.chain
    tips = {one.name: one.tip for one in lineage.branches}
    if branch not in tips:
        names = ", ".join(map(repr, (lineage.branch, *tips)))
        raise BadInput("branch", f"{branch!r} is unknown; there is {names}")
    return lineage.path(tips[branch])
