"""Sessions by conversation: what sockets, REST, the command line and programs speak to."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from openhands_sessions.core.commands import Command
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.events.event import AgentState, Json
from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.lineage import MAIN, Chain
from openhands_sessions.core.permissions import Lapse, Permission
from openhands_sessions.core.repository import Repository


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionSpec:
    """What a conversation is opened with. An `id` that is known joins it, and the rest is not looked at."""

    id: ConversationId
    create: bool = False
    """Whether an unknown id makes a new conversation; otherwise it is NotFound."""
    settings: dict[str, Json] = field(default_factory=dict)
    """The request's layer of the settings, by their wire names."""
    initial_message: str | None = None
    image_urls: tuple[str, ...] = ()
    replay_json: str | None = None
    """A trajectory as it was exported, JSON: it begins with its own first message, in place of `initial_message`."""
    seed_messages: tuple[Json, ...] = ()
    """Messages of an earlier conversation, which are summed up before the first message is said; see `Seed`."""
    title: str | None = None
    trigger: str = "gui"
    checkout: Repository | None = None
    """What the workspace of a new conversation begins with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AwaitingCall:
    """A call that awaits an answer: the event that asks about it, its tool, its arguments as JSON text, and its risk: 0
    (low) to 2 (high), -1 where it is not known."""

    event_id: EventId
    tool: str
    arguments: str
    risk: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingApproval:
    """The batch of calls that await answers. `version` rises with each decision; `deadline` is in UTC. About
    `spending`, its one entry is no call: it asks whether the conversation may go on."""

    batch: EventId
    about: Literal["calls", "spending"] = "calls"
    version: int
    deadline: datetime | None
    calls: tuple[AwaitingCall, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetInfo:
    """The auto-approval budget of a conversation, in US dollars: what calls may cost in all, None while it is off; what
    those that ran have cost; what is reserved; what is left."""

    dollars: float | None
    spent: float
    reserved: float
    rest: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionInfo:
    """A conversation and, where it is live, its session. `state` is None where no session is live."""

    id: ConversationId
    owner: OwnerId
    title: str
    created_at: datetime
    updated_at: datetime
    trigger: str
    state: SessionState | None
    agent_state: AgentState | None
    runtime_status: str | None
    head: EventId
    """The newest event; in lists -1 where no session is live."""
    last_state: EventId
    """The newest change of the agent's state; -1 where no session is live."""
    followers: int
    repository: str | None = None
    branch: str | None = None
    git_provider: str | None = None
    problem: str | None = None
    """Why the session could not be set up, for users."""
    message_count: int | None = None
    """Messages of the user and of the agent; None where that is not known without reading the whole log."""
    unread: int | None = None
    """What counts as unread (`core/unread.py`) behind the caller's read mark, at most 100; None where that is not known
    without reading the whole log, and from `Gateway.open`."""
    cost: float | None = None
    """US dollars that the conversation has cost; None where that is not known without reading the whole log."""
    processing: bool = False
    """Whether a turn is under way, or is to begin: from a message's acceptance to the end of its turn."""
    queued: int = 0
    """Messages that wait for turns of their own."""
    pending: EventId | None = None
    """The first action that awaits an answer."""
    approval: PendingApproval | None = None
    """All calls that await answers; None in lists."""
    budget: BudgetInfo | None = None
    """None where that is not known without reading the whole log."""
    chain: Chain | None = None
    """The visible events up to `head`; None in lists, and where the log's end is not known yet."""
    dialogue_branch: str = MAIN
    """The branch of the dialogue, where `chain` is known; `branch` is the repository's."""
    model: str | None = None
    """What answers; None for an agent without a model, and where that is not known without reading the log."""
    permission: Permission = Permission.OWN
    """What the caller may do with it."""
    watchers: tuple[str, ...] = ()
    """Who follows it now: ids of users, and names of links, in order; as far as this process knows."""
    expected: bool = False
    """Whether no session is set up only because the server has just started, or ends: clients are about to be back."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A command took effect: durable, as event `id` (the first that it appended). `turn` is the turn that it belongs
    to, whose `turn_ended` says how it went; None where there is none, as for a stop while nothing runs."""

    id: EventId
    turn: EventId | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of something that is still under way: a `reply` of the model, the `thought`s before it, or the `output`
    of the command whose action is `key`. Pieces of one thing follow each other at `offset` (characters); `restart`
    means that the text so far is void. Void as a whole once the event that it announces arrives."""

    kind: Literal["reply", "output", "thought"]
    key: str
    offset: int
    text: str
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """News that is not stored: set-up stages, retries, a new title. `id` is the wire's status id."""

    level: Literal["info", "error"]
    id: str | None
    message: str
    title: str | None = None


EndReason = Literal["stopped", "deleted", "shutdown", "idle", "failed"]


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """The session closed (`idle`, `failed`), and its conversation goes on: the follower stays, and hears of the next
    session's events."""

    reason: EndReason


FeedItem = Sequence[Stored] | Delta | Status | SessionClosed
Deliver: TypeAlias = Callable[[FeedItem], bool]
"""Takes a live item at once, without waiting; False where it cannot now: the iterator then gives it."""


class SessionEnded(Exception):
    """Nothing more follows: the session ended with `reason` (`stopped`, `deleted`, `shutdown`), or what let the
    follower in does not count any more (`expired`, `revoked`)."""

    def __init__(self, reason: EndReason | Lapse) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SessionUsage:
    """What a conversation has used: US dollars and tokens."""

    cost: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class SessionHandle:
    """A live session as an edge may look at it. `settings` are those that are no secrets, by their wire names; empty
    where another server does not tell them."""

    state: SessionState
    settings: Mapping[str, Json]
    usage: SessionUsage


class Gateway(Protocol):
    """The sessions of one caller's conversations, and of those that are shared with it. Every call but `open` raises
    NotFound for an id that is unknown, deleted or neither, and Forbidden for what the caller may not do."""

    async def open(self, spec: SessionSpec) -> SessionInfo:
        """Make, revive or join a session; does not wait for Ready. Raises NotFound, AtCapacity, BadInput."""

    async def submit(self, sid: ConversationId, command: Command, *, key: str | None = None) -> Accepted:
        """Carry a command to the session, reviving it; durable when it returns. The same key again gives the same
        answer and does nothing twice. Raises NotAccepting, BadInput, StorageUnavailable."""

    def follow(
        self, sid: ConversationId, after: int, *, deliver: Deliver | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[FeedItem]]:
        """Every event after `after`, stored ones first and live ones next, in order, each once; transient items in
        between. Following does not end with the session: it goes on until the conversation is stopped or deleted,
        the server goes, or the caller is let in no more: then SessionEnded is raised out of the iterator.

        While the iterator is awaited, live items may go to `deliver` in its place, which spares a task switch for each;
        what `deliver` raises is raised out of the iterator."""

    async def describe(self, sid: ConversationId) -> SessionInfo: ...

    async def ready(self, sid: ConversationId, within: float) -> None:
        """Wait until the session's set-up has ended, well or not, but no longer than so many seconds."""

    async def close(self, sid: ConversationId, reason: EndReason) -> None:
        """End the session, not the conversation; returns when it is Closed. Nothing where none is live."""

    def session(self, sid: ConversationId) -> SessionHandle | None:
        """The live session as far as this process knows it; None where it knows of none."""
