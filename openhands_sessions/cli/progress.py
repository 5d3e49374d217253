"""Where a conversation stands for the one who chats: is it my turn, is there a question. Pure."""

from dataclasses import dataclass, replace

from openhands_sessions.core.commands import Answer, Command, SendMessage
from openhands_sessions.core.events.event import Action, AgentState, ConfirmationState, Event
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import StopReason, TurnEndedObservation

WORKING = frozenset(
    {AgentState.LOADING, AgentState.RUNNING, AgentState.USER_CONFIRMED, AgentState.USER_REJECTED},
)
GOOD_ENDS = frozenset({StopReason.DONE, StopReason.WAITING})


@dataclass(frozen=True, slots=True)
class Progress:
    """Folded from the events as they come. `seen` is the newest event that an ended turn has taken into account."""

    head: int = -1
    state: AgentState = AgentState.LOADING
    state_id: int = -1
    pending: int | None = None
    seen: int = -1
    ended: int = -1
    reason: StopReason | None = None

    @property
    def working(self) -> bool:
        return self.state in WORKING

    def behind(self, event: Event) -> "Progress":
        """The progress behind one more event."""
        now = replace(self, head=event.id)
        match event:
            case AgentStateChangedObservation(agent_state=state):
                asks = state is AgentState.AWAITING_USER_CONFIRMATION
                return replace(now, state=state, state_id=event.id, pending=now.pending if asks else None)
            case TurnEndedObservation(seen=seen, stop_reason=reason):
                return replace(now, seen=max(seen, self.seen), ended=event.id, reason=reason)
            case Action() if getattr(event, "confirmation_state", None) is ConfirmationState.AWAITING:
                return replace(now, pending=event.id)
            case _:
                return now


@dataclass(frozen=True, slots=True)
class Sent:
    """A command that was accepted as event `id`."""

    command: Command
    id: int

    def over(self, progress: Progress) -> bool:
        """Whether the turn that it brought about has ended."""
        failed = progress.state is AgentState.ERROR and progress.state_id > self.id
        match self.command:
            case SendMessage():
                return (progress.seen >= self.id and not progress.working) or failed
            case Answer():
                return (progress.ended > self.id and not progress.working) or failed
            case _:
                return progress.head >= self.id and not progress.working

    def well(self, progress: Progress) -> bool:
        """Of a turn that is over: whether it ended as it should."""
        return progress.reason in GOOD_ENDS and progress.state is not AgentState.ERROR
