"""Bodies and replies of the routes of conversations, in both directions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.event_filter import EventFilter
from openhands_sessions.core.events.codec import timestamp_text
from openhands_sessions.core.events.event import AgentState, Json, Source
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId, OwnerId
from openhands_sessions.core.lifecycle import SET_UP, SessionState
from openhands_sessions.core.lineage import MAIN
from openhands_sessions.core.permissions import Permission
from openhands_sessions.core.repository import Repository, checked_branch, checked_provider, repository
from openhands_sessions.core.seeding import MOST_MESSAGES
from openhands_sessions.core.texts import TaskKind, task_message
from openhands_sessions.ports.gateway import SessionInfo, SessionSpec
from openhands_sessions.protocol.approvals import PendingApprovalOut
from openhands_sessions.protocol.budgets import BudgetOut
from openhands_sessions.protocol.images import ImageUrl
from openhands_sessions.protocol.payloads import Message, Payload, Reply, Text
from openhands_sessions.protocol.statuses import v0_status

NOT_REPLAYED = ("initial_user_msg", "image_urls", "suggested_task", "seed_messages")
"""What cannot be combined with a replay, which has a first message of its own."""
TRIGGERS = (
    *("gui", "suggested_task", "resolver", "openhands_api", "slack", "microagent_management"),
    *("jira", "jira_dc", "linear", "bitbucket"),
)
FEEDBACK_KEPT = "Your feedback is kept on this server and sent to nobody."
Status = Literal["STARTING", "RUNNING", "STOPPED", "ARCHIVED", "ERROR"]


class TaskIn(Message):
    """A task that the web client suggests, as `/api/user/suggested-tasks` lists it."""

    git_provider: str = "github"
    task_type: TaskKind
    repo: str = Field(min_length=1, max_length=2_000)
    issue_number: int = Field(ge=0, le=2**53)
    title: str = Field("", max_length=1_000)


class CreateMicroagentIn(Message):
    """What the page about microagents sends: the repository whose knowledge is to be written down in it."""

    repo: str = Field(min_length=1, max_length=2_000)
    git_provider: str | None = None
    title: str | None = Field(None, max_length=200)


class CreateIn(Payload):
    """Body of `POST /api/conversations`, and `create` of the socket. The V0 client does not know `settings`, the
    request's layer of the settings; `agents`, several by name, as the setting has them; `init_repository`, which makes
    an empty repository where none is cloned; `seed_messages` of an earlier conversation, which are summed up before the
    first message is said; and `key`, with which the same user creates once. The last two are for REST alone."""

    repository: str | None = None
    git_provider: str | None = None
    selected_branch: str | None = None
    initial_user_msg: Text | None = None
    image_urls: list[ImageUrl] | None = Field(None, max_length=32)
    replay_json: str | None = None
    suggested_task: TaskIn | None = None
    create_microagent: CreateMicroagentIn | None = None
    conversation_instructions: Text | None = None
    mcp_config: dict[str, Any] | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    agents: dict[str, Any] | None = None
    init_repository: bool = False
    seed_messages: list[Any] | None = Field(None, min_length=1, max_length=MOST_MESSAGES)
    key: str | None = Field(None, min_length=1, max_length=128)

    def spec(self, sid: ConversationId) -> SessionSpec:
        """Raises BadInput."""
        for name in NOT_REPLAYED:
            if self.replay_json is not None and getattr(self, name):
                raise BadInput(name, "must be left out: the trajectory in replay_json has a first message of its own")
        images = tuple(self.image_urls or ())
        microagent = self.create_microagent
        return SessionSpec(
            id=sid,
            create=True,
            settings=self._layer,
            initial_message=self._message or ("" if images else None),
            image_urls=images,
            replay_json=self.replay_json,
            seed_messages=tuple(self.seed_messages or ()),
            title=None if microagent is None or not microagent.title else microagent.title.strip() or None,
            trigger=self._trigger,
            checkout=self._checkout,
        )

    @property
    def _layer(self) -> dict[str, Any]:
        given = {"conversation_instructions": self.conversation_instructions, "mcp_config": self.mcp_config}
        given["agents"] = self.agents
        return {**self.settings, **{name: value for name, value in given.items() if value is not None}}

    @property
    def _message(self) -> str:
        """The suggested task, and what the user says to it."""
        said, task = self.initial_user_msg or "", self.suggested_task
        if task is None:
            return said
        suggested = task_message(task.task_type, task.repo, task.issue_number, task.title, task.git_provider)
        return f"{suggested}\n\n{said}".strip()

    @property
    def _trigger(self) -> str:
        if self.suggested_task is not None:
            return "suggested_task"
        return "gui" if self.create_microagent is None else "microagent_management"

    @property
    def _checkout(self) -> Repository | None:
        branch, provider = checked_branch(self.selected_branch), checked_provider(self.git_provider)
        if self.repository:
            return repository(self.repository, provider, branch)
        asked = self.suggested_task or self.create_microagent
        if asked is not None:
            return repository(asked.repo, provider or asked.git_provider, branch)
        return Repository(branch=branch) if self.init_repository else None


class RenameIn(Payload):
    title: str = Field(min_length=1, max_length=200)


class StartIn(Payload):
    providers_set: list[str] | None = None


class FeedbackIn(Message):
    """Other keys are ignored: the events that the client adds are in the log already."""

    email: str = Field("", max_length=300)
    version: str = Field("", max_length=100)
    permissions: Literal["public", "private"] = "private"
    polarity: Literal["positive", "negative"]
    feedback: str | None = Field(None, max_length=100_000)


class FeedbackReceipt(Reply):
    """What the V0 client shows of stored feedback. `password` is empty: nothing is published that one could open."""

    message: str
    feedback_id: str
    password: str


class FeedbackOut(FeedbackIn):
    """What was stored, and the receipt for it."""

    conversation_id: str
    timestamp: str
    statusCode: Literal[200]  # noqa: N815  # the V0 client's name for it
    body: FeedbackReceipt

    @classmethod
    def of(cls, stored: Mapping[str, Json], feedback_id: str) -> "FeedbackOut":
        receipt = FeedbackReceipt(message=FEEDBACK_KEPT, feedback_id=feedback_id, password="")
        return cls.model_validate({**stored, "statusCode": 200, "body": receipt})


class FilterIn(Payload):
    """The query parameter `filter` of `GET /api/conversations/{id}/events`, as JSON."""

    source: Source | None = None
    query: str | None = Field(None, max_length=1_000)
    include_types: list[str] | None = Field(None, max_length=100)
    exclude_types: list[str] | None = Field(None, max_length=100)
    exclude_hidden: bool = False
    start_date: datetime | None = None
    end_date: datetime | None = None

    def event_filter(self) -> EventFilter:
        return EventFilter(
            source=self.source,
            text=self.query or "",
            kinds=frozenset(self.include_types or ()),
            without=frozenset(self.exclude_types or ()),
            shown_only=self.exclude_hidden,
            since=_aware(self.start_date),
            until=_aware(self.end_date),
        )

    @classmethod
    def of(cls, wanted: EventFilter) -> "FilterIn":
        return cls(
            source=wanted.source,
            query=wanted.text or None,
            include_types=sorted(wanted.kinds) or None,
            exclude_types=sorted(wanted.without) or None,
            exclude_hidden=wanted.shown_only,
            start_date=wanted.since,
            end_date=wanted.until,
        )


def _aware(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


class SessionOut(Reply):
    """What the V0 client does not know of a conversation. Defaults are for reading other servers."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    owner: str = LOCAL_OWNER
    state: str | None = None
    agent_state: str | None = None
    runtime_status: str | None = None
    head: int = -1
    last_state: int = -1
    problem: str | None = None
    message_count: int | None = None
    unread: int | None = None
    cost: float | None = None
    processing: bool = False
    queued: int = 0
    pending: int | None = None
    approval: PendingApprovalOut | None = None
    budget: BudgetOut | None = None
    chain: list[tuple[int, int]] | None = None
    dialogue_branch: str = MAIN
    model: str | None = None
    permission: Permission = Permission.OWN
    watchers: list[str] = Field(default_factory=list)


class ConversationOut(Reply):
    """ConversationInfo."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    conversation_id: str
    title: str
    last_updated_at: str
    status: Status
    runtime_status: str | None = None
    selected_repository: str | None = None
    selected_branch: str | None = None
    git_provider: str | None = None
    trigger: Annotated[str, BeforeValidator(lambda given: given or "")] = ""
    num_connections: int = 0
    url: str | None = None
    session_api_key: None = None
    created_at: str
    pr_number: list[int] = Field(default_factory=list)
    conversation_version: Literal["V0"] = "V0"
    session: SessionOut = SessionOut()

    @classmethod
    def of(cls, info: SessionInfo) -> "ConversationOut":
        status, runtime_status = conversation_status(info.state), info.runtime_status
        asks = info.state is None and info.pending is not None
        if info.expected or asks:  # the client opens its socket, which gives the question a session
            status, runtime_status = "RUNNING", "STATUS$READY"
        return cls(
            conversation_id=info.id,
            title=info.title,
            last_updated_at=timestamp_text(info.updated_at),
            status=status,
            runtime_status=None if runtime_status is None else v0_status(runtime_status),
            selected_repository=info.repository,
            selected_branch=info.branch,
            git_provider=info.git_provider,
            trigger=info.trigger,
            num_connections=info.followers,
            url=None if status == "STOPPED" and info.state is None else f"/api/conversations/{info.id}",
            session_api_key=None,
            created_at=timestamp_text(info.created_at),
            pr_number=[],
            conversation_version="V0",
            session=SessionOut.model_validate(info, from_attributes=True),
        )

    def info(self) -> SessionInfo:
        """Raises ValueError for a state or a time that is not known."""
        own = self.session
        return SessionInfo(
            id=ConversationId(self.conversation_id),
            owner=OwnerId(own.owner),
            title=self.title,
            created_at=datetime.fromisoformat(self.created_at),
            updated_at=datetime.fromisoformat(self.last_updated_at),
            trigger=self.trigger,
            state=SessionState(own.state) if own.state else None,
            agent_state=AgentState(own.agent_state) if own.agent_state else None,
            runtime_status=own.runtime_status or self.runtime_status,
            head=EventId(own.head),
            last_state=EventId(own.last_state),
            followers=self.num_connections,
            repository=self.selected_repository,
            branch=self.selected_branch,
            git_provider=self.git_provider,
            problem=own.problem,
            message_count=own.message_count,
            unread=own.unread,
            cost=own.cost,
            processing=own.processing,
            queued=own.queued,
            pending=None if own.pending is None else EventId(own.pending),
            approval=None if own.approval is None else own.approval.approval(),
            budget=None if own.budget is None else own.budget.info(),
            chain=None if own.chain is None else tuple((EventId(start), EventId(end)) for start, end in own.chain),
            dialogue_branch=own.dialogue_branch,
            model=own.model,
            permission=own.permission,
            watchers=tuple(own.watchers),
        )


class ConversationsOut(Reply):
    results: list[ConversationOut]
    next_page_id: str | None
    total: int | None = None


class StartedOut(Reply):
    """A conversation was made, started or stopped; its status is the one before a stop."""

    status: Literal["ok"]
    conversation_id: str
    message: str | None
    conversation_status: Status


def conversation_status(state: SessionState | None) -> Status:
    """The conversation's `status`, from which the V0 client decides whether to open its socket. It must open it where
    a session has failed: only there does it see the reason, and can it start the session again."""
    if state in SET_UP or state is SessionState.CREATED:
        return "STARTING"
    if state in (SessionState.READY, SessionState.RUNNING, SessionState.ERROR):
        return "RUNNING"
    return "STOPPED"
