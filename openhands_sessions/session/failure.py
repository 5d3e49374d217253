"""What the log says of a session that has failed, and how a later session reads it."""

from openhands_sessions.core.events.event import AgentState
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.ids import UNNUMBERED
from openhands_sessions.session.event_stream import EventStream


async def record_failure(stream: EventStream, stage: str, reason: str) -> None:
    """Say at which stage it failed and why, as far as the log is known; a session that fails again and again says so
    once. Raises StorageError."""
    if stream.view.head == UNNUMBERED or await _is_recorded(stream, reason):
        return
    state = AgentState.ERROR
    await stream.append(AgentStateChangedObservation(agent_state=state, reason=reason, failed_stage=stage))


async def is_over(stream: EventStream) -> bool:
    """Whether the newest state is that of a session that was stopped or has failed. A turn that has failed stands."""
    if stream.view.agent_state is not AgentState.ERROR:
        return stream.view.agent_state in (AgentState.STOPPED, AgentState.LOADING)
    newest = await stream.event(stream.view.last_state)
    return isinstance(newest, AgentStateChangedObservation) and newest.failed_stage is not None


async def _is_recorded(stream: EventStream, reason: str) -> bool:
    if stream.view.agent_state is not AgentState.ERROR:
        return False
    newest = await stream.event(stream.view.last_state)
    return isinstance(newest, AgentStateChangedObservation) and newest.reason == stream.masker.text(reason)
