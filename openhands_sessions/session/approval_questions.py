"""Reads the calls of the batch that awaits an answer, or is not taken up yet."""

from collections.abc import Sequence

from openhands_sessions.core.approval import AskedCall
from openhands_sessions.core.events.event import Action
from openhands_sessions.core.events.own import ApprovalDecidedAction
from openhands_sessions.core.ids import UNNUMBERED
from openhands_sessions.session.approvals import Question
from openhands_sessions.session.event_stream import EventStream


async def questions(stream: EventStream) -> Sequence[Question]:
    """All calls of the batch, in the order of their reply. Raises StorageError."""
    approval = stream.view.approval
    return [] if approval is None else [await question(stream, one) for one in approval.calls]


async def question(stream: EventStream, asked: AskedCall) -> Question:
    """One call, with what is decided about it. Raises StorageError."""
    action = await stream.event_of(Action, asked.event if asked.shown == UNNUMBERED else asked.shown)
    if asked.decided == UNNUMBERED:
        return Question(asked, action)
    event = await stream.event_of(ApprovalDecidedAction, asked.decided)
    decision = next((one for one in event.decisions if one.call == asked.event), None)
    return Question(asked, action, decision, event.expired)
