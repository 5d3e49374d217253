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
from openhands_sessions.core.events.codec import Stored, decode_for_fold
from openhands_sessions.core.events.event import Action, AgentState, ConfirmationState, Event, Json, Observation, Source
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
from openhands_sessions.core.evolve import evolve, put
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
    own = evolve(view, head=event.id)
    _take(own, event)
    return own


class Fold:
    """As `reduce`, for a long log: the view is copied when it is asked for, not with each event, and an event that is
    told by its kind to change nothing is not decoded."""

    def __init__(self, view: ConversationView) -> None:
        self.head = view.head
        self._view = evolve(view)

    @property
    def view(self) -> ConversationView:
        return evolve(self._view, head=self.head)

    def add(self, entry: Stored) -> None:
        """Take in the next entry. Raises StorageError where it is damaged, as far as it is looked at."""
        self.head = entry.id
        if _may_change(self._view, entry):
            _take(self._view, decode_for_fold(entry.text, entry.schema))


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


_TELLING = frozenset(
    f"observation:{kind.KIND}"
    for kind in (
        AgentStateChangedObservation,
        HistoryRepairedObservation,
        ReplayBegunObservation,
        ReplayEndedObservation,
        RunObservation,
        TurnEndedObservation,
        TurnResumedObservation,
    )
)
"""Observations that change a view also where they answer no open action."""


def _may_change(view: ConversationView, entry: Stored) -> bool:
    """Whether the entry changes more than the head: False for observations that only answer, where nothing is open."""
    return entry.kind in _TELLING or bool(view.open_actions) or not entry.kind.startswith("observation:")


def _take(view: ConversationView, event: Event) -> None:
    """Change the view, which no other code has, to what it is after the event, but for its head."""
    if isinstance(event, Observation):
        _observe(view, event)
    elif isinstance(event, Action):
        if view.replay is not None and event.cause is not None:
            put(view, replay=_issued(view.replay, event))
        if spends(view, event):
            _spend(view, event.llm_metrics or {})
        if isinstance(event, MessageAction) and event.source is Source.USER:
            _ask(view, event)
        else:
            _act(view, event)


def _ask(view: ConversationView, event: MessageAction) -> None:
    if view.first_message == UNNUMBERED:
        put(view, first_message=event.id)
    put(view, last_message=event.id)
    if not view.owed:
        put(view, owed=True, iterations=0, cost_before_turn=view.cost, stop_reason=None)


def _act(view: ConversationView, event: Action) -> None:
    match event:
        case _ if isinstance(event, ANSWERED):
            _call(view, event)
        case SystemAction():
            put(view, system=event.id)
        case RecallAction():
            put(view, recalled=True)
        case ToolCallsAction(response_id=response, calls=calls):
            put(view, response_id=response, planned=calls, planned_by=event.id)
        case CondensationAction(forgotten_events_start_id=int() as start, forgotten_events_end_id=int() as end):
            put(view, condensed=(start, end), summary_event=event.id)
        case ChangeAgentStateAction(source=Source.USER, agent_state=state):
            _direct(view, state)
        case _:
            _take_up_planned(view, event)


def _direct(view: ConversationView, state: AgentState) -> None:
    match state:
        case AgentState.RUNNING:
            put(view, owed=True, stopping=None)
        case AgentState.STOPPED | AgentState.PAUSED:
            under_way = view.owed or bool(view.open_actions) or view.pending is not None
            put(view, stopping=state if under_way or view.agent_state is not state else None)


def _call(view: ConversationView, event: Action) -> None:
    _take_up_planned(view, event)
    if isinstance(event, TaskTrackingAction) and event.command == "plan":
        put(view, task_list=event.task_list)
    match getattr(event, "confirmation_state", ConfirmationState.CONFIRMED):
        case ConfirmationState.AWAITING:
            put(view, pending=event.id)
            return
        case ConfirmationState.REJECTED:
            put(view, pending=None)
            return
    if view.pending is not None and event.cause == view.pending:
        put(view, pending=None, owed=True)
    put(view, open_actions=(*view.open_actions, event.id))


def _take_up_planned(view: ConversationView, event: Action) -> None:
    call = event.tool_call_metadata
    if call is not None and view.planned:
        put(view, planned=tuple(planned for planned in view.planned if planned.id != call.tool_call_id))


def _observe(view: ConversationView, event: Observation) -> None:
    if event.cause is not None and event.cause in view.open_actions:
        put(view, open_actions=tuple(one for one in view.open_actions if one != event.cause))
    match event:
        case AgentStateChangedObservation(agent_state=state):
            put(view, agent_state=state, last_state=event.id)
        case TurnEndedObservation():
            _end_turn(view, event)
        case RunObservation(metadata=metadata):
            put(view, left_running=event.cause if metadata.suffix == LEFT_RUNNING else None)
        case TurnResumedObservation(repeated_calls=repeated):
            put(view, iterations=view.iterations + repeated)
        case ReplayBegunObservation(steps=steps):
            put(view, replay=ReplayProgress(begun=event.id, steps=steps))
        case ReplayEndedObservation():
            put(view, replay=None)
        case HistoryRepairedObservation(form=form):
            put(view, form=form)


def _end_turn(view: ConversationView, event: TurnEndedObservation) -> None:
    put(view, owed=view.last_message > event.seen, stop_reason=event.stop_reason, stopping=None)
    if event.stop_reason is StopReason.WAITING and view.pending is not None:
        return
    if event.stop_reason is StopReason.STOPPED:
        put(view, left_running=None)
    put(view, planned=(), iterations=0, cost_before_turn=view.cost)


def _issued(replay: ReplayProgress, event: Action) -> ReplayProgress:
    if event.cause == replay.begun:
        return evolve(replay, done=replay.done + 1, action=event.id)
    return evolve(replay, action=event.id) if event.cause == replay.action else replay  # restated after an answer


def _spend(view: ConversationView, metrics: Mapping[str, Json]) -> None:
    tokens = metrics.get("accumulated_token_usage")
    counts = tokens if isinstance(tokens, Mapping) else {}
    put(
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
