"""What a user keeps as settings, by the names of the V0 client, and what of it a conversation is run with."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.nesting import DEEPEST, too_deep
from openhands_sessions.core.settings import NEVER, SessionSettings, nearest
from openhands_sessions.core.texts import Address, GitName, Key, Line

KEYS = ("llm_api_key", "search_api_key", "sandbox_api_key")
"""Settings that are never shown, not even to their owner."""
KEPT = frozenset({"llm_api_key", "search_api_key", "llm_model", "llm_base_url", "user_consents_to_analytics"})
"""Settings that stay as they are where the client leaves them out or sends null. The other key stays where it sends
null, as it was shown it."""
SHOWN_ONLY = frozenset({"provider_tokens_set", "llm_api_key_set", "search_api_key_set", "secrets_store", "is_new_user"})
"""What a client is shown beside the settings, and may send back with them: passed over."""
AGENTS = {"CodeActAgent": "default", "ShellAgent": "shell"}
"""The V0 client's names for agents of ours."""


def _flat(value: dict[str, Any]) -> dict[str, Any]:
    if too_deep(value):
        raise ValueError(f"must not be nested more than {DEEPEST} levels deep")
    return value


class UserSettings(BaseModel):
    """A user's settings; None where the user has chosen nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    language: Line | None = None
    agent: Line | None = None
    max_iterations: int | None = Field(None, ge=1, le=100_000)
    security_analyzer: Line | None = None
    confirmation_mode: bool | None = None
    llm_model: Line | None = None
    llm_api_key: Key | None = None
    llm_base_url: Address | None = None
    remote_runtime_resource_factor: float | None = None
    enable_default_condenser: bool = True
    enable_sound_notifications: bool = False
    enable_proactive_conversation_starters: bool = True
    enable_solvability_analysis: bool = True
    user_consents_to_analytics: bool | None = None
    sandbox_base_container_image: Address | None = None
    sandbox_runtime_container_image: Address | None = None
    mcp_config: Annotated[dict[str, Any], AfterValidator(_flat)] | None = None
    search_api_key: Key | None = None
    sandbox_api_key: Key | None = None
    max_budget_per_task: float | None = Field(None, gt=0)
    condenser_max_size: int | None = Field(None, ge=20, le=NEVER)
    email: Line | None = None
    email_verified: bool | None = None
    git_user_name: GitName | None = None
    git_user_email: Line | None = None


def changed(old: UserSettings | None, given: Mapping[str, Json]) -> UserSettings:
    """The settings after a client has sent `given`: what it leaves out goes to its default, but for KEPT. Raises
    BadInput that names the key, for an unknown one also the nearest."""
    known = UserSettings.model_fields
    for key in sorted(given.keys() - known.keys() - SHOWN_ONLY):
        raise BadInput(key, f"is not a setting{nearest(key, known)}")
    kept = {*KEPT, *(given.keys() & set(KEYS))}
    before = {} if old is None else {key: value for key, value in old.model_dump().items() if key in kept}
    now = {key: value for key, value in given.items() if key in known and value is not None}
    try:
        return UserSettings.model_validate({**before, **now})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadInput(".".join(map(str, first["loc"])), f"is wrong: {first['msg']}") from None


def stored(content: Mapping[str, Json]) -> UserSettings | None:
    """Settings as they lie on disk, without those that are no longer taken; None where nothing is left of them."""
    try:
        return UserSettings.model_validate(content)
    except ValidationError as error:
        wrong = {each["loc"][0] for each in error.errors(include_url=False, include_input=False)}
    left = {key: value for key, value in content.items() if key not in wrong}
    return UserSettings.model_validate(left) if left else None


def layer(settings: UserSettings) -> dict[str, Json]:
    """The user's layer of a conversation's settings: what has an effect, by our names. An empty text says nothing."""
    told = {
        key: value
        for key, value in settings.model_dump().items()
        if key in SessionSettings.model_fields and value not in (None, "")
    }
    if settings.agent:
        told["agent"] = AGENTS.get(settings.agent, settings.agent)
    if settings.security_analyzer == "none":
        del told["security_analyzer"]
    if not settings.enable_default_condenser:
        told["condenser_max_size"] = NEVER
    return told


def shown(settings: UserSettings, providers: Mapping[str, str | None]) -> dict[str, Json]:
    """The settings as their owner is shown them: whether there is a key, never the key. `providers` are the git
    providers with a token, and the host of each."""
    return {
        **settings.model_dump(mode="json"),
        **dict.fromkeys(KEYS),
        "secrets_store": {"provider_tokens": {}},
        "provider_tokens_set": dict(providers),
        "llm_api_key_set": bool(settings.llm_api_key),
        "search_api_key_set": bool(settings.search_api_key),
    }
