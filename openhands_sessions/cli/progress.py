"""Where a conversation stands, folded from its events: whose turn it is, whether a turn is over, what was used."""

from dataclasses import dataclass, replace

from openhands_sessions.core.commands import Answer, Command, SendMessage
from openhands_sessions.core.events.event import Action, AgentState, ConfirmationState, Event
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import (
    CallPurpose,
    ModelCalledObservation,
    ModelChangedAction,
    StopReason,
    TurnEndedObservation,
)
from openhands_sessions.core.metrics import cost, token_counts, tokens
from openhands_sessions.core.money import MicroDollars, dollars, micro_dollars

WORKING = frozenset({AgentState.LOADING, AgentState.RUNNING, AgentState.USER_CONFIRMED, AgentState.USER_REJECTED})
GOOD_ENDS = frozenset({StopReason.DONE, StopReason.WAITING, StopReason.APPROVAL})


@dataclass(frozen=True, slots=True)
class ConversationUsage:
    """What the agent of a conversation has used by its newest model call: tokens, and money where the price is known.
    `recorded`: there are records of its calls; without, the events of replies say it."""

    recorded: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: MicroDollars = 0
    model: str | None = None
    window: int = 0
    """Tokens that the model reads at most; 0 where that is not known."""

    def after(self, event: Event) -> "ConversationUsage":
        """The usage after one more event."""
        if isinstance(event, ModelChangedAction):
            return replace(self, model=event.model, window=0)
        if isinstance(event, ModelCalledObservation):
            return self if event.purpose is CallPurpose.TITLE else self._with_call(event)  # no turn waits for a title
        metrics = event.llm_metrics
        if metrics is None:
            return self
        model = tokens(metrics).get("model")
        counts = token_counts(metrics, "prompt_tokens", "completion_tokens", "context_window")
        named = replace(
            self,
            model=model if isinstance(model, str) and model else self.model,
            window=counts["context_window"] or self.window,
        )
        if self.recorded:
            return named
        return replace(
            named,
            prompt_tokens=counts["prompt_tokens"],
            completion_tokens=counts["completion_tokens"],
            cost=micro_dollars(cost(metrics)) or 0,
        )

    def _with_call(self, call: ModelCalledObservation) -> "ConversationUsage":
        return replace(
            self,
            recorded=True,
            prompt_tokens=self.prompt_tokens + call.prompt_tokens,
            completion_tokens=self.completion_tokens + call.completion_tokens,
            cost=self.cost + (call.micro_dollars or 0),
        )

    def since(self, earlier: "ConversationUsage") -> str:
        """The difference in words; empty where nothing was used."""
        read = self.prompt_tokens - earlier.prompt_tokens
        written = self.completion_tokens - earlier.completion_tokens
        if read <= 0 and written <= 0:
            return ""
        cost = self.cost - earlier.cost
        return f"{read:,} tokens in, {written:,} out" + (f", ${dollars(cost):.4f}" if cost > 0 else "")


@dataclass(frozen=True, slots=True)
class Progress:
    """Whether it is the user's turn, folded from events. `seen` is the newest event that an ended turn included."""

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

    def after(self, event: Event) -> "Progress":
        """The progress after one more event."""
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
        """Whether the turn that it started has ended."""
        failed = progress.state is AgentState.ERROR and progress.state_id > self.id
        match self.command:
            case SendMessage():
                return (progress.seen >= self.id and not progress.working) or failed
            case Answer():
                return (progress.ended > self.id and not progress.working) or failed
            case _:
                return progress.head >= self.id and not progress.working

    def well(self, progress: Progress) -> bool:
        """Whether the turn, which is over, ended well."""
        return progress.reason in GOOD_ENDS and progress.state is not AgentState.ERROR
