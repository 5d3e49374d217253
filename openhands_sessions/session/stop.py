"""Stop and pause: the turn is cancelled, what it runs is ended, and the log says so. What the log says of a session
that was stopped or has failed, and how a later session reads it."""

from collections.abc import Awaitable, Callable

from openhands_sessions.core.errors import NotAccepting
from openhands_sessions.core.events.actions import ChangeAgentStateAction
from openhands_sessions.core.events.event import AgentState, Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import DropReason
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import UNNUMBERED, EventId, OwnerId
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.ports.store import Receipt
from openhands_sessions.session.agent_controllers import AgentControllers
from openhands_sessions.session.approval_questions import questions
from openhands_sessions.session.approvals import withdrawing
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.idempotency import IdempotencyKey, earlier_answer, receipt_of
from openhands_sessions.session.message_queue import dropping

NOT_UNDER_WAY = "turn {} is not under way: it has ended, or there is none with this id"
CancelTurn = Callable[[], Awaitable[None]]
"""Cancels the running turn, if there is one, and returns when it is gone."""


class Stopper:
    """Stops one session's turns."""

    def __init__(self, stream: EventStream, controller: AgentControllers) -> None:
        self._stream = stream
        self._controller = controller

    async def stop(
        self,
        last: AgentState,
        cancel_turn: CancelTurn,
        *,
        receipt: Receipt | None = None,
        author: OwnerId | None = None,
    ) -> Accepted:
        """End the turn and what it runs; nothing of it comes after the state `last`. Durable when it returns."""
        await cancel_turn()
        # Everything that the turn appended is folded once this one is: appends take effect in order.
        action = ChangeAgentStateAction(agent_state=last, source=Source.USER, author=author)
        [stopped] = await self._stream.append(action, receipt=receipt)
        view = self._stream.view
        if view.stopping is not None or view.sandbox.left_running is not None:
            await self._wind_up(last)
        return Accepted(stopped.id, stopped.turn)

    async def close(self, cancel_turn: CancelTurn) -> None:
        """The user closes the session: a stop, where there is something to stop; otherwise the state alone says it."""
        view = self._stream.view
        if view.under_way:
            await self.stop(AgentState.STOPPED, cancel_turn)
        elif view.agent_state is not AgentState.STOPPED:
            await self._stream.append(AgentStateChangedObservation(agent_state=AgentState.STOPPED))

    async def finish(self) -> None:
        """Carry out a stop that is in the log and that an earlier process did not carry out."""
        last = self._stream.view.stopping
        if last is not None:
            await self._wind_up(last)

    async def _wind_up(self, last: AgentState) -> None:
        if asked := await questions(self._stream):
            await self._stream.append(*withdrawing(asked, first=self._stream.next_id))
        await self._controller.wind_up(last)


async def record_stop(
    stream: EventStream, key: IdempotencyKey | None = None, author: OwnerId | None = None, turn: EventId | None = None
) -> Accepted:
    """The user stops a session that has failed, or only this turn. Where a turn was cut off, the next session carries
    the stop out first; otherwise the session is stopped with this. Call it where the log is known. Raises
    NotAccepting, BadInput, StorageError."""
    if (before := await earlier_answer(stream, key)) is not None:
        return before
    stopped, view = AgentState.STOPPED, stream.view
    if turn is not None and any(queued.id == turn for queued in view.queued):
        dropped = evolve(dropping((turn,), DropReason.INTERRUPTED), author=author)
        [numbered] = await stream.append(dropped, receipt=receipt_of(key))
        return Accepted(numbered.id)
    if turn is not None and stream.turn != turn:
        raise NotAccepting(NOT_UNDER_WAY.format(turn))
    event: Event = AgentStateChangedObservation(agent_state=stopped)
    if view.under_way or view.agent_state is stopped:
        event = ChangeAgentStateAction(agent_state=stopped, source=Source.USER, author=author)
    [numbered] = await stream.append(event, receipt=receipt_of(key))
    return Accepted(numbered.id, numbered.turn)


async def note_stop(stream: EventStream) -> None:
    """As `record_stop`, for a session that closes; without effect where the log says so already, or is not known."""
    view, stopped = stream.view, AgentState.STOPPED
    is_stopped = view.agent_state is stopped and not view.under_way
    if view.head != UNNUMBERED and view.stopping is not stopped and not is_stopped:
        await record_stop(stream)


async def record_failure(stream: EventStream, stage: str, reason: str) -> None:
    """Say at which stage a session failed and why, as far as the log is known; one that fails again and again says so
    once. Raises StorageError."""
    if stream.view.head == UNNUMBERED:
        return
    known, state = await _recorded_error(stream), AgentState.ERROR
    if known is None or known.reason != stream.masker.text(reason):
        await stream.append(AgentStateChangedObservation(agent_state=state, reason=reason, failed_stage=stage))


async def is_over(stream: EventStream) -> bool:
    """Whether the newest state is that of a session that was stopped or has failed. A turn that has failed stands."""
    if stream.view.agent_state in (AgentState.STOPPED, AgentState.LOADING):
        return True
    known = await _recorded_error(stream)
    return known is not None and known.failed_stage is not None


async def _recorded_error(stream: EventStream) -> AgentStateChangedObservation | None:
    if stream.view.agent_state is not AgentState.ERROR:
        return None
    newest = await stream.event(stream.view.last_state)
    return newest if isinstance(newest, AgentStateChangedObservation) else None
