"""Kinds of events that only this project has. They are not sent to clients of the V0 protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from openhands_sessions.core.events.branches import BRANCH_OBSERVATIONS
from openhands_sessions.core.events.budget import BUDGET_ACTIONS
from openhands_sessions.core.events.copies import COPY_OBSERVATIONS
from openhands_sessions.core.events.event import Action, Json, Observation, kinds_of
from openhands_sessions.core.events.handoff import HANDOFF_OBSERVATIONS
from openhands_sessions.core.history_form import HistoryForm
from openhands_sessions.core.ids import UNNUMBERED, EventId


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedCall:
    """One tool call of a reply, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCallsAction(Action, kind="tool_calls"):
    """A model's reply with several tool calls. It is recorded before the first call is carried out, so that after a
    restart the server knows which calls are still to do."""

    response_id: str
    calls: tuple[PlannedCall, ...]
    thought: str = ""

    def describe(self) -> str:
        return f"{len(self.calls)} tool calls"


@dataclass(frozen=True, kw_only=True, slots=True)
class InvalidCallAction(Action, kind="invalid_call", says="A tool call that cannot be carried out"):
    """A tool call that cannot be carried out (unknown tool, malformed arguments). The call is in
    `tool_call_metadata`."""

    thought: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelReplyAction(Action, kind="model_reply", says="What the model said beside its answer"):
    """What a model's reply has beside text and calls. The events of the reply follow it at once. `extra` holds fields
    of the provider's message, `calls` fields of each call by its id: both are given back to `model` only. `thoughts`
    is the readable part of the reasoning."""

    response_id: str
    model: str
    finish_reason: str | None = None
    thoughts: str = ""
    extra: Mapping[str, Json] = field(default_factory=dict)
    calls: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalRequestedAction(Action, kind="approval_requested", says="A further call that awaits an answer"):
    """A further call of a reply that awaits the user's answer, beside the action before it: they are one batch. The
    call is in `tool_call_metadata`. The action itself comes when V0 clients are asked about it, or when it runs."""

    security_risk: int = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class CallDecision:
    """What was decided about the call that event `call` asks about. `arguments`, JSON text, take the place of the
    model's; `feedback` tells the agent why the call is rejected."""

    call: EventId
    approved: bool
    arguments: str | None = None
    feedback: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalDecidedAction(Action, kind="approval_decided"):
    """Calls of a batch are decided, which has the given version from now on: by a user, or, without an author and with
    `expired`, because no answer had come by the deadline."""

    batch: EventId
    version: int
    decisions: tuple[CallDecision, ...]
    expired: bool = False

    def describe(self) -> str:
        approved = sum(one.approved for one in self.decisions)
        return f"{approved} calls were approved, {len(self.decisions) - approved} rejected"


class RuleScope(StrEnum):
    """Where a remembered rule holds."""

    CONVERSATION = "conversation"
    USER = "user"


@dataclass(frozen=True, kw_only=True, slots=True)
class AlwaysAllowedAction(Action, kind="always_allowed", says="Always allowed: {0.tool} {0.pattern}"):
    """From here on, calls of this tool whose main argument matches `pattern` run in this conversation without a
    question; with the scope `user`, in the user's other conversations too."""

    tool: str
    pattern: str
    scope: RuleScope


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageQueuedAction(Action, kind="message_queued", says="{0.content}"):
    """A user's message that waits for a turn of its own, whose id is that of this event."""

    content: str
    file_urls: tuple[str, ...] = ()
    image_urls: tuple[str, ...] = ()
    key: str | None = None
    """The idempotency key that its sender gave it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedMessageEditedAction(Action, kind="queued_message_edited", says="{0.content}"):
    """The queued message of event `queued` says something else now."""

    queued: EventId
    content: str
    file_urls: tuple[str, ...] = ()
    image_urls: tuple[str, ...] = ()


class DropReason(StrEnum):
    """Why a queued message never became a turn."""

    REMOVED = "removed"
    INTERRUPTED = "interrupted"
    DELETED = "deleted"
    UNDONE = "undone"


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedMessagesDroppedAction(Action, kind="queued_messages_dropped"):
    """The queued messages of these events become no turns."""

    queued: tuple[EventId, ...]
    reason: DropReason

    def describe(self) -> str:
        return f"{len(self.queued)} queued messages were dropped: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryCompactedAction(Action, kind="history_compacted", says="{0.told}"):
    """The user had the history compacted. Sizes are of what the model is shown, in events and characters; they are the
    same where nothing was left out, and `told` says why."""

    events_before: int
    events_after: int
    characters_before: int
    characters_after: int
    told: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HistorySeededAction(Action, kind="history_seeded"):
    """Messages of an earlier conversation, which a client sent, are summed up here for the agent. `messages` were
    summed up; `left_out` were more than a summary takes, `skipped` of the system, `dropped` of another form."""

    summary: str
    messages: int
    left_out: int = 0
    skipped: int = 0
    dropped: int = 0

    def describe(self) -> str:
        counts = {"left out": self.left_out, "skipped": self.skipped, "dropped": self.dropped}
        others = "".join(f", {count} {what}" for what, count in counts.items() if count)
        return f"{self.messages} earlier messages were summed up{others}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChangedAction(Action, kind="model_changed", says="The model is {0.model} from here on"):
    """The user has chosen another model for this conversation, between two turns. `former` is the one before."""

    model: str
    former: str | None = None


class CallPurpose(StrEnum):
    """What a model call is for: a turn, a title, a summary that replaces a part of the history, one of messages of an
    earlier conversation, or, outside of conversations, to see whether the model answers."""

    MAIN = "main"
    TITLE = "title"
    CONDENSE = "condense"
    SEED = "seed"
    PROBE = "probe"


class CallOutcome(StrEnum):
    """How a model call ended: with a reply, with an error, or because nobody waits for it any more."""

    ANSWERED = "answered"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCalledObservation(
    Observation, kind="model_called", says="A call of {0.model} for the purpose {0.purpose}: {0.outcome}"
):
    """One call of a model, each try by itself, and what it has used as far as the provider has told it.
    `micro_dollars`, millionths of a US dollar, is None where the price is not known; `prompt_tokens` include the cached
    ones; `latency` is in seconds. `status` is that of a failure."""

    purpose: CallPurpose
    model: str
    outcome: CallOutcome
    finish_reason: str | None = None
    status: str | None = None
    response_id: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    micro_dollars: int | None = None
    latency: float = 0.0


class StopReason(StrEnum):
    """Why a turn ended; with `approval` it goes on once the user has answered. With `repeating` the agent went in
    circles and asks what to do; with `stuck` it went on in the same circle."""

    DONE = "done"
    WAITING = "waiting"
    APPROVAL = "approval"
    STOPPED = "stopped"
    MAX_ITERATIONS = "max_iterations"
    MAX_COST = "max_cost"
    ERROR = "error"
    REPEATING = "repeating"
    STUCK = "stuck"


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnEndedObservation(Observation, kind="turn_ended"):
    """A turn has ended. `seen` is the id of the newest event that the agent has taken into account: a user's message
    after it still needs an answer: it opens the turn `moved_to`. With the reason `approval`, the calls that await an
    answer are rejected at the `deadline`, UTC; None for never."""

    stop_reason: StopReason
    seen: int
    iterations: int = 0
    moved_to: EventId | None = None
    deadline: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnResumedObservation(Observation, kind="turn_resumed"):
    """A turn that was cut off continues. `repeated_calls` counts the model calls that are repeated: 0 or 1."""

    repeated_calls: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayBegunObservation(Observation, kind="replay_begun", says="Replaying {0.steps} recorded steps"):
    """A replay begins: from here on, `steps` recorded actions are issued in place of the model. Each has this event as
    its `cause`."""

    steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayEndedObservation(Observation, kind="replay_ended", says="The replay was ended behind step {0.done}"):
    """A replay ends early, after `done` of its steps."""

    done: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryRepairedObservation(Observation, kind="history_repaired"):
    """The model refused the history, and accepted it in another form. From now on it gets that form."""

    form: HistoryForm


class MoveReason(StrEnum):
    """What was asked for."""

    UNDO = "undo"
    MOVE = "move"
    EDIT = "edit"
    REGENERATE = "regenerate"
    SWITCH = "switch"
    MERGE = "merge"


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryMovedObservation(Observation, kind="history_moved", says="The dialogue goes on after event {0.to}"):
    """From here on the dialogue goes on after event `to`, the end of a turn, on the branch `branch`. `content` is what
    the model is told.

    What was left stays as `left_branch`, up to and with event `left_tip`; empty where it lies on another branch anyway.
    `message_id` is the user's message that opened the first turn that was left; UNNUMBERED where none was. Changes of
    the session's state count up to event `state_at`: an undo keeps what was set before its turn began."""

    to: EventId
    reason: MoveReason
    branch: str
    left_branch: str = ""
    left_tip: EventId = UNNUMBERED
    message_id: EventId = UNNUMBERED
    state_at: EventId = UNNUMBERED


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxReplacedObservation(Observation, kind="sandbox_replaced", says="The sandbox is a new one"):
    """A new sandbox took the place of the one in which earlier actions ran. `content` is what the model is told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointCreatedObservation(Observation, kind="checkpoint_created", says="Checkpoint {0.name}"):
    """The place in the dialogue that `name` stands for: the end of the newest turn, also where that still runs."""

    name: str
    description: str = ""


class FeedbackKind(StrEnum):
    """What a person thinks: of an answer, that it is good or bad; of the whole, that the task is done or not."""

    UP = "up"
    DOWN = "down"
    OUTCOME_SUCCESS = "outcome_success"
    OUTCOME_FAIL = "outcome_fail"


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedbackGivenObservation(Observation, kind="feedback_given", says="Feedback: {0.feedback}"):
    """What its author thinks of event `about`, or of the conversation so far. The agent is not told."""

    feedback: FeedbackKind
    about: EventId | None = None
    comment: str = ""


OWN_ACTIONS: dict[str, type[Action]] = {**kinds_of(Action, __name__, vars()), **BUDGET_ACTIONS}
_ELSEWHERE = {**BRANCH_OBSERVATIONS, **COPY_OBSERVATIONS, **HANDOFF_OBSERVATIONS}
OWN_OBSERVATIONS: dict[str, type[Observation]] = {**kinds_of(Observation, __name__, vars()), **_ELSEWHERE}
