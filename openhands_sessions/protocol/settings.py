"""Bodies and replies of the routes of settings, secrets, git providers and options."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from openhands_sessions.core.texts import Address, Key, Line
from openhands_sessions.core.user_settings import UserSettings
from openhands_sessions.protocol.payloads import Message, Payload, Reply

PROVIDERS = dict.fromkeys(("github", "gitlab", "bitbucket", "azure_devops", "forgejo", "enterprise_sso"))
"""Names of git providers."""


class SecretIn(Payload):
    name: str
    value: str
    description: str | None = None


class SecretChangeIn(Payload):
    """The value stays, so a `value` is refused; it is changed at `/value`."""

    name: str
    description: str | None = None


class SecretValueIn(Payload):
    value: str


class TokenIn(Message):
    """A git provider's token; null or empty keeps the one that is stored."""

    token: Key | None = None
    host: Address | None = None
    user_id: Line | None = None


class ProvidersIn(Payload):
    provider_tokens: dict[str, TokenIn] = Field(max_length=16)


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
