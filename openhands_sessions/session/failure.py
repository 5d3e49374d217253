"""What is recorded of a session that has failed, which takes no commands any more."""

from openhands_sessions.core.events.actions import ChangeAgentStateAction
from openhands_sessions.core.events.event import AgentState, Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.ids import UNNUMBERED
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.session.command_handler import IdempotencyKey, receipt_of, taken_before
from openhands_sessions.session.event_stream import EventStream


async def record_failure(stream: EventStream, reason: str) -> None:
    """Say why, as far as the log is known; a session that fails again and again says so once. Raises StorageError."""
    if stream.view.head != UNNUMBERED and not await _has_told(stream, reason):
        await stream.append(AgentStateChangedObservation(agent_state=AgentState.ERROR, reason=reason))


async def _has_told(stream: EventStream, reason: str) -> bool:
    if stream.view.agent_state is not AgentState.ERROR:
        return False
    newest = await stream.event(stream.view.last_state)
    told = newest.reason if isinstance(newest, AgentStateChangedObservation) else ""
    return told == stream.masker.text(reason)


async def record_stop(stream: EventStream, keyed: IdempotencyKey | None = None) -> Accepted:
    """The user stops it. Where a turn was cut off, whoever takes that up later has the stop to carry out first;
    otherwise it is stopped with this. Call it where the log is known. Raises BadInput, StorageError."""
    if (before := await taken_before(stream, keyed)) is not None:
        return before
    stopped, view = AgentState.STOPPED, stream.view
    event: Event = AgentStateChangedObservation(agent_state=stopped)
    if view.under_way or view.agent_state is stopped:
        event = ChangeAgentStateAction(agent_state=stopped, source=Source.USER)
    numbered = await stream.append(event, receipt=receipt_of(keyed))
    return Accepted(numbered[0].id)
