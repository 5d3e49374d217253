"""Merges another dialogue that began alike: another conversation's, or another branch."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from openhands_sessions.core.copying import NOT_COPIED, EventCopies
from openhands_sessions.core.errors import BadInput, NotAccepting, NothingToMerge, TooLarge
from openhands_sessions.core.events.codec import from_wire
from openhands_sessions.core.events.copies import HistoryMergedObservation
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.history_commands import Merge
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.core.merging import WholeTurn, merged_order, shared_beginning
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.related_dialogues import AT_ONCE, branch_chain, dialogue_turns, stored_view

MERGED = (
    "From here on, the turns of two dialogues that began alike follow each other in the order in which they ended. What"
    " was done to files in the other one may not have been done in this workspace."
)
UNRELATED = "has nothing in common with this dialogue: merge one that began as a fork or a branch of it"
MOST_MERGED = 20_000
"""Events that a merge may copy: they are appended as one."""
_WITHOUT = NOT_COPIED | {
    *("action:system", "action:condensation", "action:history_compacted", "action:change_agent_state"),
    *("observation:agent_state_changed", "observation:sandbox_replaced", "observation:history_repaired"),
    "action:model_changed",
}
"""What is of one conversation, its model, its sandbox or its place in the history, and not of what was said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MergePlan:
    """What a merge appends after event `base`, the end of the last turn that stays where it is: the turns of both
    dialogues that follow; `mine` says which were this one's."""

    conversation: ConversationId
    branch: str
    base: EventId
    turns: Sequence[WholeTurn] = field(repr=False)
    mine: frozenset[str] = field(repr=False)
    conflicts: Sequence[str]


class HistoryMerge:
    """Of the session of one conversation."""

    def __init__(self, sid: ConversationId, stream: EventStream, store: SessionStore) -> None:
        self._sid = sid
        self._stream = stream
        self._store = store

    async def plan(self, merge: Merge) -> MergePlan:
        """Raises BadInput for what is not related, NothingToMerge, NotAccepting, TooLarge, StorageError."""
        view = self._stream.view
        if view.pending is not None:
            raise NotAccepting("calls await an answer: answer first, then merge")
        ours = await dialogue_turns(self._store, self._sid, view.chain)
        other = merge.conversation or self._sid
        beside = view if other == self._sid else await stored_view(self._store, other)
        theirs = await dialogue_turns(self._store, other, branch_chain(beside, merge.branch))
        if not shared_beginning(ours, theirs):
            raise BadInput("branch" if merge.conversation is None else "conversation", UNRELATED)
        order = merged_order(ours, theirs)
        kept = shared_beginning(ours, order.turns)
        if kept == len(order.turns):
            raise NothingToMerge(f"every turn of {merge.branch or other!r} is in this dialogue already")
        left = order.turns[kept:]
        if sum(len(turn.entries) for turn in left) > MOST_MERGED:
            raise TooLarge(f"a merge copies at most {MOST_MERGED} events", MOST_MERGED)
        return MergePlan(
            conversation=other,
            branch=merge.branch or "",
            base=ours[kept - 1].last,
            turns=left,
            mine=frozenset(turn.key for turn in ours),
            conflicts=order.conflicts,
        )

    async def events(self, plan: MergePlan, first: EventId) -> Sequence[Event]:
        """What follows the move back to the plan's base; `first` is the id that the first of these events will have."""
        mine = sum(turn.key in plan.mine for turn in plan.turns)
        merged = HistoryMergedObservation(
            source=Source.USER,
            conversation=plan.conversation,
            branch=plan.branch,
            ours=mine,
            theirs=len(plan.turns) - mine,
            conflicts=tuple(plan.conflicts),
        )
        copies = {True: EventCopies(self._sid, _WITHOUT), False: EventCopies(plan.conversation, _WITHOUT)}
        made: list[Event] = [merged]
        seen = 0
        for turn in plan.turns:
            source = copies[turn.key in plan.mine]
            for entry in turn.entries:
                seen += 1
                if seen % AT_ONCE == 0:
                    await asyncio.sleep(0)  # others must not feel a long dialogue
                wire = source.copied(entry, EventId(first + len(made)))
                if wire is not None:
                    made.append(from_wire(wire))
        return made
