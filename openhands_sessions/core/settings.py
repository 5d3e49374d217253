"""What a conversation is run with, and how its layers are merged."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from openhands_sessions.core.custom_secrets import check_description, check_name, check_together, check_value
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.mcp import McpConfig
from openhands_sessions.core.texts import Address, GitName, Line, SecretKey

NEVER = 1_000_000
"""Events that a conversation without condenser may come to."""
LONGEST_WAIT = 1_000_000.0
"""Seconds; more of them no clock of ours can be set to."""
LONGEST_INSTRUCTIONS = 1_000_000


class CustomSecret(BaseModel):
    """A value in the environment of commands; never shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: SecretStr
    description: str = ""


class SessionSettings(BaseModel):
    """One conversation's settings, by the names they have on the wire."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    agent: Line = Field(
        "default",
        description="Which agent: `default` (needs a model), `shell`, or `default` without a model, which is `shell`.",
    )
    llm_model: Line | None = Field(None, description="The model, by litellm's name, or `scripted:NAME`.")
    llm_base_url: Address | None = Field(
        None, description="Where the model is reached; None for its provider's own address."
    )
    llm_api_key: SecretKey | None = Field(None, description="The provider's key; never shown.")
    llm_timeout: float = Field(
        600.0, gt=0, le=LONGEST_WAIT, description="Limit of one model call in seconds, retries included."
    )
    llm_retries: int = Field(4, ge=0, le=20, description="How often a failed model call is tried again.")
    confirmation_mode: bool = Field(False, description="Ask before every action that changes something.")
    security_analyzer: Literal["llm", "rules"] | None = Field(
        None,
        description="Who grades what an action risks: the model itself (`llm`), or rules as well (`rules`): then "
        "confirmation mode does not ask about commands that only look.",
    )
    max_iterations: int = Field(100, ge=1, le=100_000, description="Model calls of one turn.")
    max_budget_per_task: float | None = Field(None, gt=0, description="US dollars of one turn; None for no limit.")
    condenser_max_size: int = Field(
        240, ge=20, le=NEVER, description="Events shown to a model before older ones are condensed."
    )
    command_timeout: float = Field(
        120.0, gt=0, le=LONGEST_WAIT, description="Limit of one command in seconds, where the agent names none."
    )
    conversation_instructions: str | None = Field(
        None, max_length=LONGEST_INSTRUCTIONS, description="Added to the agent's prompt."
    )
    git_user_name: GitName | None = Field(None, description="Whose name stands on commits.")
    git_user_email: Line | None = Field(None, description="Whose address stands on commits.")
    mcp_config: McpConfig | None = Field(
        None, description="MCP servers: `sse_servers`, `shttp_servers` (`url`, `api_key`) and `stdio_servers`."
    )
    custom_secrets: dict[str, CustomSecret] = Field(
        {}, description="By name: `value`, which commands find in their environment, and `description`."
    )


def merge(*layers: Mapping[str, Json]) -> SessionSettings:
    """The settings that the layers give, later ones winning; a value of None says nothing.

    A layer that says where the model is reached, or names one of another provider, but brings no key, voids the keys
    of the layers before it: only the operator's own provider ever gets the operator's key. Raises BadInput that names
    the key, for an unknown one also the nearest.
    """
    merged: dict[str, Json] = {}
    for layer in layers:
        for key in sorted(layer.keys() - SessionSettings.model_fields.keys()):
            raise BadInput(key, f"is not a setting{nearest(key, SessionSettings.model_fields)}")
        if _leads_elsewhere(merged, layer):
            merged.pop("llm_api_key", None)
        told = {key: value for key, value in layer.items() if value is not None}
        check_together(told.get("custom_secrets"))
        if isinstance(secrets := told.get("custom_secrets"), dict) and isinstance(
            before := merged.get("custom_secrets"), dict
        ):
            told["custom_secrets"] = {**before, **secrets}
        merged.update(told)
    try:
        settings = SessionSettings.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadInput(".".join(map(str, first["loc"])), f"is wrong: {first['msg']}") from None
    for name, secret in settings.custom_secrets.items():
        check_name(name)
        check_value(secret.value.get_secret_value())
        check_description(secret.description)
    return settings


def _leads_elsewhere(merged: Mapping[str, Json], layer: Mapping[str, Json]) -> bool:
    """Whether the layer has the model's requests go to somebody else than the layers before it."""
    before, named = merged.get("llm_model"), layer.get("llm_model")
    other_provider = isinstance(before, str) and isinstance(named, str) and _provider(before) != _provider(named)
    return other_provider or layer.get("llm_base_url") not in (None, merged.get("llm_base_url"))


def _provider(model: str) -> str:
    return model.partition("/")[0]


def nearest(key: str, known: Mapping[str, object]) -> str:
    """`; did you mean …?` where a known key is close, otherwise nothing."""
    close = get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def public(settings: SessionSettings) -> dict[str, Json]:
    """The settings as they may be shown and stored: keys and secrets left out."""
    return settings.model_dump(mode="json", exclude={"llm_api_key", "custom_secrets", "mcp_config"})


def environment(settings: SessionSettings) -> dict[str, str]:
    """What commands find in their environment besides what every command finds there."""
    found = {name: secret.value.get_secret_value() for name, secret in settings.custom_secrets.items()}
    for names, value in (
        (("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), settings.git_user_name),
        (("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), settings.git_user_email),
    ):
        if value:
            found.update(dict.fromkeys(names, value))
    return found


def secrets(settings: SessionSettings) -> tuple[str, ...]:
    """What must not be seen in anything that the conversation records."""
    key = settings.llm_api_key
    values = [secret.value.get_secret_value() for secret in settings.custom_secrets.values()]
    servers = () if settings.mcp_config is None else settings.mcp_config.secrets
    return (*values, *servers, *(() if key is None else (key.get_secret_value(),)))
