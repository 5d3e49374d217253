"""What a conversation is made with, bodies of the routes below one, and what they show."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json, Source
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.microagents import Microagent
from openhands_sessions.core.repository import Repository, checked_branch, checked_provider, repository
from openhands_sessions.core.suggested import TaskKind, task_message
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.server.wire import Payload, Text, checked
from openhands_sessions.service.event_filter import EventFilter

NOT_REPLAYED = ("initial_user_msg", "image_urls", "suggested_task")
"""What cannot be asked for together with a replay, which has its own first message."""


class TaskIn(BaseModel):
    """A task that the web client suggests, as `/api/user/suggested-tasks` lists it."""

    model_config = ConfigDict(frozen=True)

    git_provider: str = "github"
    task_type: TaskKind
    repo: str = Field(min_length=1, max_length=2_000)
    issue_number: int = Field(ge=0, le=2**53)
    title: str = Field("", max_length=1_000)


class CreateMicroagentIn(BaseModel):
    """What the page about microagents asks for: knowledge of `repo`, to be written down in it."""

    model_config = ConfigDict(frozen=True)

    repo: str = Field(min_length=1, max_length=2_000)
    git_provider: str | None = None
    title: str | None = Field(None, max_length=200)


class CreateIn(Payload):
    """Body of `POST /api/conversations`, and `create` of the socket. Ours are `settings`, the request's layer of the
    settings, and `init_repository`, which makes an empty repository where none is cloned."""

    repository: str | None = None
    git_provider: str | None = None
    selected_branch: str | None = None
    initial_user_msg: Text | None = None
    image_urls: list[str] | None = Field(None, max_length=32)
    replay_json: str | None = None
    suggested_task: TaskIn | None = None
    create_microagent: CreateMicroagentIn | None = None
    conversation_instructions: Text | None = None
    mcp_config: dict[str, Any] | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    init_repository: bool = False

    def spec(self, sid: ConversationId, owner: OwnerId) -> SessionSpec:
        """Raises BadInput."""
        for name in NOT_REPLAYED:
            if self.replay_json is not None and getattr(self, name):
                raise BadInput(name, "must be left out: the trajectory in replay_json has a first message of its own")
        images = tuple(self.image_urls or ())
        microagent = self.create_microagent
        return SessionSpec(
            id=sid,
            owner=owner,
            create=True,
            settings=self._layer,
            initial_message=self._message or ("" if images else None),
            image_urls=images,
            replay_json=self.replay_json,
            title=None if microagent is None or not microagent.title else microagent.title.strip() or None,
            trigger=self._trigger,
            checkout=self._checkout,
        )

    @property
    def _layer(self) -> dict[str, Any]:
        told = {"conversation_instructions": self.conversation_instructions, "mcp_config": self.mcp_config}
        return {**self.settings, **{name: value for name, value in told.items() if value is not None}}

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


class SayIn(Payload):
    """Body of `POST /api/conversations/{id}/message`."""

    message: Text = Field(min_length=1)


class FeedbackIn(BaseModel):
    """Body of `POST /api/conversations/{id}/submit-feedback`. Other keys are passed over: what the client adds of the
    events is in the log already."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    email: str = Field("", max_length=300)
    version: str = Field("", max_length=100)
    permissions: Literal["public", "private"] = "private"
    polarity: Literal["positive", "negative"]
    feedback: str | None = Field(None, max_length=100_000)


class FilterIn(Payload):
    """The query parameter `filter` of `GET /api/conversations/{id}/events`, as JSON."""

    source: Source | None = None
    query: str | None = Field(None, max_length=1_000)
    include_types: list[str] | None = Field(None, max_length=100)
    exclude_types: list[str] | None = Field(None, max_length=100)
    exclude_hidden: bool = False
    start_date: datetime | None = None
    end_date: datetime | None = None


def picked(value: object) -> EventFilter:
    """Raises BadInput that names the field."""
    if not isinstance(value, dict):
        raise BadInput("filter", "must be a JSON object")
    try:
        asked = checked(FilterIn, value)
    except BadInput as error:
        raise BadInput(f"filter.{error.field}", error.message.removeprefix(f"{error.field} ")) from None
    return EventFilter(
        source=asked.source,
        text=asked.query or "",
        kinds=frozenset(asked.include_types or ()),
        without=frozenset(asked.exclude_types or ()),
        shown_only=asked.exclude_hidden,
        since=_aware(asked.start_date),
        until=_aware(asked.end_date),
    )


def _aware(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def microagent_wire(microagent: Microagent) -> dict[str, Json]:
    """One file of knowledge, as the V0 client lists it."""
    return {
        "name": microagent.name,
        "type": microagent.type,
        "content": microagent.content,
        "triggers": list(microagent.triggers),
        "inputs": [],
        "tools": [],
    }
