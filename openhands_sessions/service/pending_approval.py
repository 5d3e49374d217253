"""Reads the calls that await answers, as they are shown."""

import orjson

from openhands_sessions.core.events.budget import SpendingPausedAction
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.money import dollars
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.gateway import AwaitingCall, PendingApproval
from openhands_sessions.ports.store import EventLog


async def pending_approval(log: EventLog, view: ConversationView) -> PendingApproval | None:
    """The batch that the view says is open, None where none is. Raises StorageError."""
    approval = view.approval
    if approval is None or not approval.open:
        return None
    calls: list[AwaitingCall] = []
    for asked in approval.open:
        async for batch in log.read(asked.event - 1, before=asked.event + 1):
            calls.append(_call(asked.event, decode(batch[0].text, batch[0].schema)))
    return PendingApproval(
        batch=approval.batch,
        about=approval.about,
        version=approval.version,
        deadline=approval.deadline,
        calls=tuple(calls),
    )


def _call(number: EventId, asks: Event) -> AwaitingCall:
    if isinstance(asks, SpendingPausedAction):
        amounts = {name: dollars(getattr(asks, name)) for name in ("spent", "threshold", "then")}
        return AwaitingCall(event_id=number, tool="spending", arguments=orjson.dumps(amounts).decode(), risk=-1)
    call = asks.tool_call_metadata
    return AwaitingCall(
        event_id=number,
        tool="" if call is None else call.function_name,
        arguments="" if call is None else call.arguments,
        risk=getattr(asks, "security_risk", -1),
    )
