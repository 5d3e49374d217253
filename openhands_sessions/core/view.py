"""The current state of a conversation, folded from its log. It does not hold the dialogue."""

from dataclasses import dataclass, fields

from openhands_sessions.core.answered import ANSWERED
from openhands_sessions.core.approval import Approval, approval_after
from openhands_sessions.core.budget import NO_BUDGET, Budget, budget_after
from openhands_sessions.core.events.actions import (
    ChangeAgentStateAction,
    CondensationAction,
    MessageAction,
    RecallAction,
    SystemAction,
    TaskItem,
    TaskTrackingAction,
)
from openhands_sessions.core.events.budget import AutoApprovalRevokedAction, SpendingPausedAction
from openhands_sessions.core.events.event import Action, AgentState, ConfirmationState, Event, Observation, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import (
    AlwaysAllowedAction,
    ApprovalDecidedAction,
    ApprovalRequestedAction,
    HistoryCompactedAction,
    HistoryMovedObservation,
    HistoryRepairedObservation,
    HistorySeededAction,
    MessageQueuedAction,
    ModelCalledObservation,
    ModelChangedAction,
    PlannedCall,
    ReplayBegunObservation,
    ReplayEndedObservation,
    SandboxReplacedObservation,
    StopReason,
    ToolCallsAction,
    TurnEndedObservation,
    TurnResumedObservation,
)
from openhands_sessions.core.evolve import evolve, put
from openhands_sessions.core.handoffs import handed_over
from openhands_sessions.core.history_form import USUAL, HistoryForm
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.lineage import ONE_CHAIN, Chain, Lineage, Naming, goes_back_to, moved, named, turn_over
from openhands_sessions.core.money import MicroDollars
from openhands_sessions.core.queued import QUEUE_CHANGES, QueuedMessage, queue_after
from openhands_sessions.core.replay_progress import ReplayProgress
from openhands_sessions.core.sandbox_use import UNUSED, SandboxUse, sandbox_after
from openhands_sessions.core.spending import Spent, spends
from openhands_sessions.core.unread import is_notice, noted

VIEW_VERSION = 17
"""Raised whenever the fold changes: older snapshots are then thrown away."""

NOTHING_SPENT = Spent()
CUT_OFF = (AgentState.STOPPED, AgentState.PAUSED)
"""States in which a turn can be resumed."""


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
    message_count: int = 0
    """How many messages of the user and of the agent there are."""
    notices: tuple[EventId, ...] = ()
    """The newest events that count as unread until a user has read them; see `core/unread.py`."""
    turn: EventId | None = None
    """The newest turn: the one that is under way, if there is one."""
    agent_name: str | None = None
    """Of several agents, the one whose turn that is."""
    handing_to: str | None = None
    """The agent to which that one hands over once its reply is carried out."""
    queued: tuple[QueuedMessage, ...] = ()
    """Messages that wait for turns of their own, the next one first."""
    queue_held: bool = False
    """Whether the queue waits for the user: the last turn was stopped or has failed."""
    recalled: bool = False
    owed: bool = False
    """Whether the agent must take something up: a message, an agreed action, a turn that was cut off."""
    approval: Approval | None = None
    """The calls that the user is asked about."""
    always_allowed: tuple[tuple[str, str], ...] = ()
    """Tool and pattern of calls that the user has allowed for good."""
    open_actions: tuple[EventId, ...] = ()
    """Agreed actions without an observation, oldest first."""
    sandbox: SandboxUse = UNUSED
    response_id: str = ""
    planned: tuple[PlannedCall, ...] = ()
    """Calls of the last reply that no action has taken up yet."""
    planned_by: EventId = UNNUMBERED
    """The event that planned them."""
    stopping: AgentState | None = None
    """What the user asked the agent to come to, `stopped` or `paused`, until it has."""
    iterations: int = 0
    """Model calls since the turn began."""
    spent: Spent = NOTHING_SPENT
    cost_before_turn: MicroDollars = 0
    budget: Budget = NO_BUDGET
    condensed: tuple[int, int] | None = None
    """First and last event that the summary in `summary_event` stands for."""
    summary_event: EventId = UNNUMBERED
    form: HistoryForm = USUAL
    """In which the model takes the history."""
    model: str | None = None
    """The model that the user has chosen for this conversation; None: that of its settings."""
    task_list: tuple[TaskItem, ...] = ()
    stop_reason: StopReason | None = None
    replay: ReplayProgress | None = None
    """Kept after its end; None once it was given up."""
    lineage: Lineage = ONE_CHAIN
    settled: EventId = UNNUMBERED
    """The end of the newest turn of the chain, or its system prompt: where a move can go."""
    turn_message: EventId = UNNUMBERED
    """The user's message that opened the newest turn of the chain."""
    turn_start: EventId = UNNUMBERED
    """`settled` as it was before that turn."""

    @property
    def chain(self) -> Chain:
        """The visible events."""
        return self.lineage.path(self.head)

    @property
    def pending(self) -> EventId | None:
        """The first call that awaits the user's answer: the action that shows it, or else the event that asks."""
        waiting = () if self.approval is None else self.approval.open
        return (waiting[0].event if waiting[0].shown == UNNUMBERED else waiting[0].shown) if waiting else None

    @property
    def between_turns(self) -> bool:
        """Whether no turn is owed, waits for an answer, or has left something open."""
        return not (self.owed or self.pending is not None or self.open_actions or self.planned)

    @property
    def under_way(self) -> bool:
        """Whether there is something that a stop has to end."""
        left = (self.pending, self.sandbox.left_running, self.stopping, self.next_queued)
        return self.owed or bool(self.open_actions) or any(one is not None for one in left)

    @property
    def next_queued(self) -> QueuedMessage | None:
        """The queued message whose turn is to begin now."""
        if self.owed or self.pending is not None or self.queue_held or not self.queued:
            return None
        return self.queued[0]

    @property
    def processing(self) -> bool:
        """Whether a turn is under way, or is to begin."""
        return self.owed or self.pending is not None or self.next_queued is not None

    @property
    def replaying(self) -> bool:
        """Whether recorded steps are left, which are issued in place of the model."""
        return self.replay is not None and self.replay.done < self.replay.steps


LOG_WIDE = (
    *("head", "notices", "sandbox", "spent", "cost_before_turn", "budget", "lineage", "model", "queued"),
    *("queue_held", "always_allowed"),
)
"""Facts of the whole log, which a move leaves as they are; all others are facts of the visible chain."""
_CHAIN_WIDE = tuple(field.name for field in fields(ConversationView) if field.name not in LOG_WIDE)


def reduce(view: ConversationView, event: Event, at: ConversationView | None = None) -> ConversationView:
    """The view after one more event. Pure; ignores unknown kinds. `at` is the view at the event that a move goes back
    to; without it, a move must go back to the event just before it."""
    own = evolve(view, head=event.id)
    take(own, event, at or view)
    return own


def take(view: ConversationView, event: Event, at: ConversationView) -> None:
    """Change the view, which no other code has, to what it is after the event, but for its head. `at` as `reduce`
    has it."""
    _note(view, event)
    if isinstance(event, HistoryMovedObservation):
        _move(view, event, at)
    elif isinstance(event, Naming):
        put(view, lineage=named(view.lineage, event, view.settled if view.between_turns else UNNUMBERED))
    elif isinstance(event, Observation):
        _observe(view, event)
    elif isinstance(event, Action):
        if view.replay is not None and event.cause is not None:
            put(view, replay=view.replay.after(event))
        if spends(view.response_id, event):
            put(view, iterations=view.iterations + 1, spent=view.spent.with_reply(event.llm_metrics or {}))
        if isinstance(event, MessageAction):
            put(view, message_count=view.message_count + 1)
        if isinstance(event, MessageAction) and event.source is Source.USER:
            _ask(view, event)
        else:
            _act(view, event)


def _note(view: ConversationView, event: Event) -> None:
    if is_notice(event):
        put(view, notices=noted(view.notices, event.id))
    put(view, budget=budget_after(view.budget, event), **handed_over(event))


def _move(view: ConversationView, event: HistoryMovedObservation, at: ConversationView) -> None:
    to = goes_back_to(event)
    if to is None:
        return
    if at.head != to:
        raise ValueError(f"a move to event {to} was given the view at event {at.head}")
    put(view, **{name: getattr(at, name) for name in _CHAIN_WIDE})
    put(view, lineage=moved(view.lineage, event), cost_before_turn=view.spent.cost)


def _settle(view: ConversationView, event: Event) -> None:
    """A turn may have ended with this event."""
    if view.between_turns:
        put(view, settled=event.id, lineage=turn_over(view.lineage, event.id))


def _ask(view: ConversationView, event: MessageAction) -> None:
    first = event.id if view.first_message == UNNUMBERED else view.first_message
    put(view, first_message=first, last_message=event.id, queued=queue_after(view.queued, event), queue_held=False)
    if not view.owed and view.pending is None:  # a message behind a question belongs to the turn that asks
        put(view, turn=event.turn or event.id, agent_name=event.agent_name)
        put(view, iterations=0, cost_before_turn=view.spent.cost, stop_reason=None)
        put(view, turn_message=event.id, turn_start=view.settled)
    put(view, owed=True)


def _act(view: ConversationView, event: Action) -> None:
    match event:
        case _ if isinstance(event, ANSWERED):
            _call(view, event)
        case ApprovalRequestedAction() | ApprovalDecidedAction() | SpendingPausedAction():
            put(view, approval=approval_after(view.approval, event))
            put(view, owed=view.owed or view.pending is None)
        case AlwaysAllowedAction() | AutoApprovalRevokedAction() | ModelChangedAction():
            _choose(view, event)
        case HistoryCompactedAction() | HistorySeededAction() | SystemAction():
            put(view, system=event.id if isinstance(event, SystemAction) else view.system)
            _settle(view, event)
        case RecallAction():
            put(view, recalled=True)
        case ToolCallsAction(response_id=response, calls=calls):
            put(view, response_id=response, planned=calls, planned_by=event.id)
        case CondensationAction(forgotten_events_start_id=int() as start, forgotten_events_end_id=int() as end):
            put(view, condensed=(start, end), summary_event=event.id)
        case ChangeAgentStateAction(source=Source.USER):
            _direct(view, event)
        case _ if isinstance(event, QUEUE_CHANGES):
            held = view.queue_held and not isinstance(event, MessageQueuedAction)
            put(view, queued=queue_after(view.queued, event), queue_held=held)
        case _:
            _take_up_planned(view, event)


def _choose(view: ConversationView, event: Action) -> None:
    match event:
        case ModelChangedAction(model=model):
            put(view, model=model)
        case AlwaysAllowedAction(tool=tool, pattern=pattern):
            put(view, always_allowed=(*view.always_allowed, (tool, pattern)))
        case AutoApprovalRevokedAction():
            put(view, always_allowed=())


def _direct(view: ConversationView, event: ChangeAgentStateAction) -> None:
    match event.agent_state:
        case AgentState.RUNNING if view.queue_held and view.queued and view.agent_state not in CUT_OFF:
            put(view, queue_held=False)
        case AgentState.RUNNING:
            if not view.owed:
                put(view, turn=event.turn or event.id, agent_name=event.agent_name)
            put(view, owed=True, stopping=None, queue_held=False)
        case AgentState.STOPPED | AgentState.PAUSED as state:
            waiting = view.pending is not None or view.next_queued is not None
            under_way = view.owed or bool(view.open_actions) or waiting
            put(view, stopping=state if under_way or view.agent_state is not state else None)


def _call(view: ConversationView, event: Action) -> None:
    state = getattr(event, "confirmation_state", ConfirmationState.CONFIRMED)
    if state is ConfirmationState.AWAITING:  # it stays planned: the calls of a reply are taken up in their order
        put(view, approval=approval_after(view.approval, event))
        return
    _take_up_planned(view, event)
    if isinstance(event, TaskTrackingAction) and event.command == "plan":
        put(view, task_list=event.task_list)
    left, before = approval_after(view.approval, event), view.approval
    put(view, approval=left)
    if state is ConfirmationState.REJECTED:
        return
    put(view, owed=view.owed or left is not before)
    put(view, open_actions=(*view.open_actions, event.id))


def _take_up_planned(view: ConversationView, event: Event) -> None:
    call = event.tool_call_metadata
    if call is not None and view.planned:
        put(view, planned=tuple(planned for planned in view.planned if planned.id != call.tool_call_id))


def _observe(view: ConversationView, event: Observation) -> None:
    answers = event.cause is not None and event.cause in view.open_actions
    put(view, sandbox=sandbox_after(view.sandbox, event, answers=answers))
    if answers:
        put(view, open_actions=tuple(one for one in view.open_actions if one != event.cause))
    if event.cause is not None and (left := approval_after(view.approval, event)) is not view.approval:
        put(view, approval=left)  # the result of a call without an action that says so
        _take_up_planned(view, event)
    match event:
        case AgentStateChangedObservation(agent_state=state):
            put(view, agent_state=state, last_state=event.id)
        case TurnEndedObservation():
            _end_turn(view, event)
            _settle(view, event)
        case SandboxReplacedObservation():
            _settle(view, event)
        case TurnResumedObservation(repeated_calls=repeated):
            put(view, iterations=view.iterations + repeated)
        case ReplayBegunObservation() | ReplayEndedObservation():
            begun = event if isinstance(event, ReplayBegunObservation) else None
            put(view, replay=None if begun is None else ReplayProgress(begun=begun.id, steps=begun.steps))
        case HistoryRepairedObservation(form=form):
            put(view, form=form)
        case ModelCalledObservation():
            put(view, spent=view.spent.with_call(event))


def _end_turn(view: ConversationView, event: TurnEndedObservation) -> None:
    put(view, owed=view.last_message > event.seen, stop_reason=event.stop_reason, stopping=None)
    put(view, approval=approval_after(view.approval, event))
    if view.approval is not None:
        return
    if view.owed:
        put(view, turn=event.moved_to or view.last_message)
    else:
        put(view, queue_held=event.stop_reason not in (StopReason.DONE, StopReason.WAITING))
    if event.stop_reason is StopReason.STOPPED:
        put(view, sandbox=evolve(view.sandbox, left_running=None))
    put(view, handing_to=None, planned=(), iterations=0, cost_before_turn=view.spent.cost)
