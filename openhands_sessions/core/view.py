"""The current state of a conversation, folded from its log. It does not hold the dialogue."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import isfinite

import orjson
from pydantic import TypeAdapter, ValidationError

from openhands_sessions.core.events.actions import (
    BrowseAction,
    BrowseInteractiveAction,
    ChangeAgentStateAction,
    CondensationAction,
    EditAction,
    McpAction,
    MessageAction,
    ReadAction,
    RecallAction,
    RunAction,
    RunIpythonAction,
    SystemAction,
    TaskItem,
    TaskTrackingAction,
    ThinkAction,
    WriteAction,
)
from openhands_sessions.core.events.event import Action, AgentState, ConfirmationState, Event, Observation, Source
from openhands_sessions.core.events.observations import LEFT_RUNNING, AgentStateChangedObservation, RunObservation
from openhands_sessions.core.events.own import (
    HistoryRepairedObservation,
    InvalidCallAction,
    PlannedCall,
    ReplayBegunObservation,
    ReplayEndedObservation,
    StopReason,
    ToolCallsAction,
    TurnEndedObservation,
    TurnResumedObservation,
)
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.history_form import USUAL, HistoryForm
from openhands_sessions.core.ids import UNNUMBERED, EventId

VIEW_VERSION = 5
"""Raised whenever the fold changes: older snapshots are then thrown away."""

ANSWERED = (
    RunAction,
    RunIpythonAction,
    ReadAction,
    WriteAction,
    EditAction,
    BrowseAction,
    BrowseInteractiveAction,
    McpAction,
    ThinkAction,
    TaskTrackingAction,
    InvalidCallAction,
)
"""Actions that an observation must follow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayProgress:
    """How far recorded steps have been issued: `done` of `steps`. `begun` is the event with which it began, `action`
    the last one that was issued."""

    begun: EventId
    steps: int
    done: int = 0
    action: EventId = UNNUMBERED


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationView:
    """The state of a conversation after event `head`."""

    head: EventId = UNNUMBERED
    agent_state: AgentState = AgentState.LOADING
    last_state: EventId = UNNUMBERED
    """The newest `agent_state_changed`."""
    system: EventId = UNNUMBERED
    first_message: EventId = UNNUMBERED
    last_message: EventId = UNNUMBERED
    """The newest message of the user."""
    recalled: bool = False
    owed: bool = False
    """Whether the agent must take something up: a message, an agreed action, a turn that was cut off."""
    pending: EventId | None = None
    """The action that awaits the user's answer."""
    open_actions: tuple[EventId, ...] = ()
    """Agreed actions without an observation, oldest first."""
    left_running: EventId | None = None
    """The newest action whose command still runs after its observation."""
    response_id: str = ""
    planned: tuple[PlannedCall, ...] = ()
    """Calls of the last reply that no action has taken up yet."""
    planned_by: EventId = UNNUMBERED
    """The event that planned them."""
    stopping: AgentState | None = None
    """What the user asked the agent to come to, `stopped` or `paused`, until it has."""
    iterations: int = 0
    """Model calls since the turn began."""
    cost: float = 0.0
    cost_before_turn: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    condensed: tuple[int, int] | None = None
    """First and last event that the summary in `summary_event` stands for."""
    summary_event: EventId = UNNUMBERED
    form: HistoryForm = USUAL
    """In which the model takes the history."""
    task_list: tuple[TaskItem, ...] = ()
    stop_reason: StopReason | None = None
    replay: ReplayProgress | None = None
    """Kept after its end; None once it was given up."""

    @property
    def under_way(self) -> bool:
        """Whether there is something that a stop has to end."""
        left = (self.pending, self.left_running, self.stopping)
        return self.owed or bool(self.open_actions) or any(one is not None for one in left)

    @property
    def replaying(self) -> bool:
        """Whether recorded steps are left, which are issued in place of the model."""
        return self.replay is not None and self.replay.done < self.replay.steps


def reduce(view: ConversationView, event: Event) -> ConversationView:
    """The view after one more event. Pure; ignores unknown kinds."""
    changed = evolve(view, head=event.id)
    if view.replay is not None and event.cause is not None and isinstance(event, Action):
        changed = evolve(changed, replay=_issued(view.replay, event))
    if spends(view, event):
        changed = _spent(changed, event)
    match event:
        case Observation():
            return _observed(changed, event)
        case MessageAction(source=Source.USER):
            return _asked(changed, event)
        case Action():
            return _acted(changed, event)
        case _:
            return changed


def spends(view: ConversationView, event: Event) -> bool:
    """Whether the event, next after the view, is the first of a model call, so that its usage counts. The planned calls
    of a reply repeat the usage of their plan."""
    if event.llm_metrics is None or not isinstance(event, Action):
        return False
    call = event.tool_call_metadata
    return call is None or not view.response_id or call.model_response.get("id") != view.response_id


def dump_view(view: ConversationView) -> str:
    """The view as JSON text, for a snapshot."""
    return orjson.dumps(view).decode()


def load_view(text: str) -> ConversationView | None:
    """The view of a snapshot; None if it cannot be read: then the log is folded from the start."""
    try:
        return _stored_form().validate_json(text)
    except ValidationError:
        return None


@cache
def _stored_form() -> TypeAdapter[ConversationView]:
    """Built when first needed: at import it would slow every start."""
    return TypeAdapter(ConversationView)


def _asked(view: ConversationView, event: MessageAction) -> ConversationView:
    first = event.id if view.first_message == UNNUMBERED else view.first_message
    view = evolve(view, first_message=first, last_message=event.id)
    return view if view.owed else _begun(view)


def _begun(view: ConversationView) -> ConversationView:
    return evolve(view, owed=True, iterations=0, cost_before_turn=view.cost, stop_reason=None)


def _acted(view: ConversationView, event: Action) -> ConversationView:
    match event:
        case SystemAction():
            return evolve(view, system=event.id)
        case RecallAction():
            return evolve(view, recalled=True)
        case ToolCallsAction(response_id=response, calls=calls):
            return evolve(view, response_id=response, planned=calls, planned_by=event.id)
        case CondensationAction(forgotten_events_start_id=int() as start, forgotten_events_end_id=int() as end):
            return evolve(view, condensed=(start, end), summary_event=event.id)
        case ChangeAgentStateAction(source=Source.USER, agent_state=state):
            return _directed(view, state)
        case _ if isinstance(event, ANSWERED):
            return _called(view, event)
        case _:
            return _without_planned(view, event)


def _directed(view: ConversationView, state: AgentState) -> ConversationView:
    match state:
        case AgentState.RUNNING:
            return evolve(view, owed=True, stopping=None)
        case AgentState.STOPPED | AgentState.PAUSED:
            under_way = view.owed or bool(view.open_actions) or view.pending is not None
            return evolve(view, stopping=state if under_way or view.agent_state is not state else None)
        case _:
            return view


def _called(view: ConversationView, event: Action) -> ConversationView:
    view = _without_planned(view, event)
    if isinstance(event, TaskTrackingAction) and event.command == "plan":
        view = evolve(view, task_list=event.task_list)
    match getattr(event, "confirmation_state", ConfirmationState.CONFIRMED):
        case ConfirmationState.AWAITING:
            return evolve(view, pending=event.id)
        case ConfirmationState.REJECTED:
            return evolve(view, pending=None)
    if view.pending is not None and event.cause == view.pending:
        view = evolve(view, pending=None, owed=True)
    return evolve(view, open_actions=(*view.open_actions, event.id))


def _without_planned(view: ConversationView, event: Action) -> ConversationView:
    call = event.tool_call_metadata
    if call is None or not view.planned:
        return view
    left = tuple(planned for planned in view.planned if planned.id != call.tool_call_id)
    return view if len(left) == len(view.planned) else evolve(view, planned=left)


def _observed(view: ConversationView, event: Observation) -> ConversationView:
    if event.cause is not None and event.cause in view.open_actions:
        view = evolve(view, open_actions=tuple(one for one in view.open_actions if one != event.cause))
    match event:
        case AgentStateChangedObservation(agent_state=state):
            return evolve(view, agent_state=state, last_state=event.id)
        case TurnEndedObservation(seen=seen, stop_reason=reason):
            owed = view.last_message > seen
            view = evolve(view, owed=owed, stop_reason=reason, stopping=None)
            if reason is StopReason.WAITING and view.pending is not None:
                return view
            left = None if reason is StopReason.STOPPED else view.left_running
            return evolve(view, planned=(), iterations=0, cost_before_turn=view.cost, left_running=left)
        case RunObservation(metadata=metadata):
            return evolve(view, left_running=event.cause if metadata.suffix == LEFT_RUNNING else None)
        case TurnResumedObservation(repeated_calls=repeated):
            return evolve(view, iterations=view.iterations + repeated)
        case ReplayBegunObservation(steps=steps):
            return evolve(view, replay=ReplayProgress(begun=event.id, steps=steps))
        case ReplayEndedObservation():
            return evolve(view, replay=None)
        case HistoryRepairedObservation(form=form):
            return evolve(view, form=form)
        case _:
            return view


def _issued(replay: ReplayProgress, event: Action) -> ReplayProgress:
    if event.cause == replay.begun:
        return evolve(replay, done=replay.done + 1, action=event.id)
    return evolve(replay, action=event.id) if event.cause == replay.action else replay  # restated after an answer


def _spent(view: ConversationView, event: Event) -> ConversationView:
    metrics = event.llm_metrics or {}
    tokens = metrics.get("accumulated_token_usage")
    counts = tokens if isinstance(tokens, Mapping) else {}
    return evolve(
        view,
        iterations=view.iterations + 1,
        cost=_number(metrics.get("accumulated_cost")),
        prompt_tokens=int(_number(counts.get("prompt_tokens"))),
        completion_tokens=int(_number(counts.get("completion_tokens"))),
        cache_read_tokens=int(_number(counts.get("cache_read_tokens"))),
        cache_write_tokens=int(_number(counts.get("cache_write_tokens"))),
    )


def _number(value: object) -> float:
    """0 for anything but a finite number: a log may be imported."""
    return value if isinstance(value, int | float) and isfinite(value) else 0
