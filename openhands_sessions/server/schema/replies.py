"""The shapes of answers. What handlers answer is held against them by the tests."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from openhands_sessions.core.user_settings import UserSettings

Status = Literal["STARTING", "RUNNING", "STOPPED", "ARCHIVED", "ERROR"]


class Reply(BaseModel):
    """An answer; nothing else is in it."""

    model_config = ConfigDict(extra="forbid")


class ErrorOut(BaseModel):
    """What went wrong. `field` names what was wrong in the request; `detail` is for people."""

    status: str | None = None
    message: str | None = None
    code: str | None = None
    detail: str | None = None
    field: str | None = None
    error: str | None = None
    msg_id: str | None = None
    conversation_id: str | None = None


class MessageOut(Reply):
    message: str


class ProblemOut(Reply):
    error: str


class SuccessOut(Reply):
    success: Literal[True]


class SessionOut(Reply):
    """What the V0 client does not know of a conversation."""

    owner: str
    state: str | None
    agent_state: str | None
    runtime_status: str | None
    head: int
    last_state: int
    problem: str | None


class ConversationOut(Reply):
    """ConversationInfo."""

    conversation_id: str
    title: str
    last_updated_at: str
    status: Status
    runtime_status: str | None
    selected_repository: str | None
    selected_branch: str | None
    git_provider: str | None
    trigger: str
    num_connections: int
    url: str | None
    session_api_key: None
    created_at: str
    pr_number: list[int]
    conversation_version: Literal["V0"]
    session: SessionOut


class ConversationsOut(Reply):
    results: list[ConversationOut]
    next_page_id: str | None


class StartedOut(Reply):
    """A conversation was made, started or stopped; its status is the one before a stop."""

    status: Literal["ok"]
    conversation_id: str
    message: str | None
    conversation_status: Status


class SettingsOut(UserSettings):
    """A user's settings, without keys."""

    model_config = ConfigDict(extra="forbid")

    secrets_store: dict[str, Any]
    provider_tokens_set: dict[str, str | None]
    llm_api_key_set: bool
    search_api_key_set: bool


class SecretOut(Reply):
    name: str
    description: str


class SecretsOut(Reply):
    custom_secrets: list[SecretOut]


class FlagsOut(Reply):
    ENABLE_BILLING: bool
    HIDE_LLM_SETTINGS: bool


class ClientConfigOut(Reply):
    APP_MODE: Literal["oss"]
    GITHUB_CLIENT_ID: str
    POSTHOG_CLIENT_KEY: str
    FEATURE_FLAGS: FlagsOut


class MicroagentOut(Reply):
    name: str
    type: str
    content: str
    triggers: list[str]
    inputs: list[Any]
    tools: list[Any]


class MicroagentsOut(Reply):
    microagents: list[MicroagentOut]


class ChangeOut(Reply):
    path: str
    status: Literal["A", "M", "D", "R", "U"]


class DiffOut(Reply):
    original: str | None
    modified: str | None


class SkippedOut(Reply):
    name: str
    reason: str


class UploadOut(Reply):
    uploaded_files: list[str]
    skipped_files: list[SkippedOut]


class PromptOut(Reply):
    status: Literal["success"]
    prompt: str
