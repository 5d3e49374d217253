"""Watches whether a turn goes in circles, by what the log says of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from openhands_sessions.core.dialogue import result_text
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Action, AgentState, Event, Observation, Source, ToolCall
from openhands_sessions.core.events.observations import LoopDetectionObservation
from openhands_sessions.core.events.own import StopReason, TurnEndedObservation
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.repetition import LoopVerdict, RepetitionCount, step_of
from openhands_sessions.core.replay_progress import REPLAYED
from openhands_sessions.session.event_stream import EventStream

STUCK_NOTE = "You repeat the same step with the same result. Do something else, or tell the user what is in the way."
STUCK_PAUSE = "The agent repeats the same step and was paused. Tell it what to do differently, or say continue."
STUCK_END = "The agent repeats the same step and gets nowhere. Tell it what to do differently."
ALWAYS_CUT = "Its replies are cut: the model reaches the limit of its output each time."


@dataclass(frozen=True, slots=True)
class CircleEnd:
    """How a turn in circles ends: the reason, the agent's state, what users are told, and what is recorded before."""

    reason: StopReason
    state: AgentState
    text: str
    events: tuple[Event, ...] = ()


@dataclass(slots=True)
class _Reply:
    """A reply whose calls are being carried out: each with its name, its arguments, and its result once it has one."""

    id: str = ""
    total: int = 0
    calls: dict[str, tuple[str, str]] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)


class RepetitionGuard:
    """One session's. A step is a reply with all its calls and their results: several equal calls of one reply are one
    step. What the user says begins the count anew. The count is the fold of the turn's events, so that it is the same
    after a restart, but for what was condensed before it."""

    def __init__(self, stream: EventStream) -> None:
        self._count = RepetitionCount()
        self._reply = _Reply()
        self._actions: dict[EventId, str] = {}
        self._live = False
        stream.listen(self._heard)

    @property
    def note(self) -> LoopDetectionObservation | None:
        """What the agent is to be told now."""
        if self._count.verdict is not LoopVerdict.NOTE:
            return None
        return LoopDetectionObservation(source=Source.AGENT, content=STUCK_NOTE)

    def ending(self, *, cut: bool) -> CircleEnd | None:
        """How the turn ends now, if it does. `cut`: its newest reply was cut at the output limit."""
        why = f" {ALWAYS_CUT}" if cut else ""
        match self._count.verdict:
            case LoopVerdict.PAUSE:
                text = f"{STUCK_PAUSE}{why}"
                told = LoopDetectionObservation(source=Source.AGENT, content=text)
                return CircleEnd(StopReason.REPEATING, AgentState.AWAITING_USER_INPUT, text, (told,))
            case LoopVerdict.STOP:
                return CircleEnd(StopReason.STUCK, AgentState.ERROR, f"{STUCK_END}{why}")
            case _:
                return None

    def begin(self, events: Sequence[Event]) -> None:
        """A turn begins, or goes on: `events` are those that the model is shown."""
        self._count, self._reply, self._actions, self._live = RepetitionCount(), _Reply(), {}, True
        ends = [place for place, event in enumerate(events) if _ends(event)]
        for event in events[ends[-2] + 1 if len(ends) > 1 else 0 :]:
            self._heard(event)

    def end(self) -> None:
        """Between turns nothing is counted."""
        self._live, self._actions = False, {}

    def _heard(self, event: Event) -> None:
        if not self._live:
            return
        match event:
            case MessageAction(source=Source.USER):
                self._count = RepetitionCount(paused=self._count.paused)
            case LoopDetectionObservation():
                self._count = self._count.told()
            case TurnEndedObservation(stop_reason=reason) if _ends(event):
                self._count = self._count.over(paused=reason is StopReason.REPEATING)
            case Action(source=Source.AGENT, tool_call_metadata=ToolCall() as call):
                self._called(event.id, call)
            case Observation(cause=int() as cause) if cause in self._actions:
                self._answered(self._actions[cause], result_text(event))

    def _called(self, action: EventId, call: ToolCall) -> None:
        response = str(call.model_response.get("id") or "")
        if response.startswith(REPLAYED):
            return  # the model did not choose it
        if response != self._reply.id:
            self._reply, self._actions = _Reply(response, call.total_calls_in_response), {}
        self._actions[action] = call.tool_call_id
        self._reply.calls[call.tool_call_id] = (call.function_name, call.arguments)

    def _answered(self, call: str, result: str) -> None:
        reply = self._reply
        reply.results[call] = result
        if len(reply.results) == reply.total:
            self._count = self._count.after(step_of([(*reply.calls[key], reply.results[key]) for key in reply.calls]))


def _ends(event: Event) -> bool:
    """Whether a turn ends with it for good."""
    return isinstance(event, TurnEndedObservation) and event.stop_reason is not StopReason.APPROVAL
