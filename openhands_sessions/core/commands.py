"""What a client may ask of a session."""

from dataclasses import dataclass
from typing import Literal

from openhands_sessions.core.events.own import FeedbackKind, RuleScope
from openhands_sessions.core.history_commands import HistoryCommand
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.money import MicroDollars

LONGEST_COMMENT = 10_000
"""Characters of a comment on feedback."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SendMessage:
    """Say something to the agent. During a turn, `steer` has its next step see the message, and `queue` has the message
    wait for a turn of its own. While an action awaits an answer, a message to steer by counts as a refusal, and as its
    reason. `agent` names one of several; None: the one whose turn runs, or the first."""

    content: str
    image_urls: tuple[str, ...] = ()
    file_urls: tuple[str, ...] = ()
    mode: Literal["steer", "queue"] = "steer"
    agent: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EditQueued:
    """Have the queued message of event `queued` say something else."""

    queued: EventId
    content: str
    image_urls: tuple[str, ...] = ()
    file_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoveQueued:
    """Take the queued message of event `queued` out of the queue."""

    queued: EventId


@dataclass(frozen=True, slots=True)
class Stop:
    """End the turn, the running command and the model call; with `turn`, only that turn, which may be queued."""

    turn: EventId | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """As Stop, shown as paused."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on where a stop or pause left off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Confirm or reject the first action that awaits it, or `action`. `arguments`, JSON text, take the place of the
    model's; `feedback` tells the agent why the action is rejected. `always`: such calls are allowed from now on."""

    confirmed: bool
    action: EventId | None = None
    arguments: str | None = None
    feedback: str = ""
    always: RuleScope | None = None


@dataclass(frozen=True, slots=True)
class SetModel:
    """Have another model answer in this conversation, from the next turn on."""

    model: str


@dataclass(frozen=True, slots=True)
class SetBudget:
    """Let calls with a known price run without a question as long as they cost no more than this in all, in
    micro-dollars; None: let none run for its price."""

    micro_dollars: MicroDollars | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DecideCall:
    """What is decided about one call of a batch, as Answer has it. `call` is the event that asks about it."""

    call: EventId
    approved: bool
    arguments: str | None = None
    feedback: str = ""
    always: RuleScope | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decide:
    """Decide about calls of the batch that awaits it, as its `version` shows it. `rest` decides about all the others
    that still await an answer; None leaves them open."""

    batch: EventId
    version: int
    decisions: tuple[DecideCall, ...] = ()
    rest: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GiveFeedback:
    """Say what one thinks of event `about`, or of the conversation so far. The agent is not told."""

    feedback: FeedbackKind
    about: EventId | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class RejectOverdue:
    """Reject what awaits an answer although the time for it is over. The server's own; it changes nothing before."""


TurnCommand = SendMessage | EditQueued | RemoveQueued | Stop | Pause | Resume
Command = TurnCommand | Answer | Decide | SetModel | SetBudget | GiveFeedback | HistoryCommand
