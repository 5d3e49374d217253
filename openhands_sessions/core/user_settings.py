"""A user's settings by the V0 client's names, and the layer that they add to a conversation's settings."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from openhands_sessions.core.call_prices import HIGHEST_PRICE, MOST_PRICES, CallPrice
from openhands_sessions.core.confirmation_rules import MOST_RULES, ConfirmationRule
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.json_limits import MAX_DEPTH, too_deep
from openhands_sessions.core.mcp_masking import masked, unmasked
from openhands_sessions.core.settings import LONGEST_WAIT, NEVER, SessionSettings, bad_input, nearest
from openhands_sessions.core.texts import Address, GitName, Key, Line

KEYS = ("llm_api_key", "search_api_key", "sandbox_api_key")
"""Settings that are never shown, not even to their owner."""
OWN = (
    *("confirmation_rules", "approval_timeout", "save_trajectory"),
    *("call_prices", "auto_approval_budget", "spending_pause_at"),
)
"""Settings that the V0 client does not know: shown where the user has chosen them."""
KEPT = frozenset((*("llm_api_key", "search_api_key", "llm_model", "llm_base_url", "user_consents_to_analytics"), *OWN))
"""Settings that keep their value if the client omits them or sends null. The other key keeps it for null only, which
is what the client was shown."""
SHOWN_ONLY = frozenset({"provider_tokens_set", "llm_api_key_set", "search_api_key_set", "secrets_store", "is_new_user"})
"""Keys that a client receives beside the settings and may send back; ignored."""
AGENTS = {"CodeActAgent": "default", "ShellAgent": "shell"}
"""The V0 client's names for agents of ours."""
_OPERATORS = ("llm_model", "agent", "confirmation_mode", "security_analyzer", "max_budget_per_task")
"""Settings that are shown as the operator has configured them until the user chooses; never a key or an address."""


def _flat(value: dict[str, Any]) -> dict[str, Any]:
    if too_deep(value):
        raise ValueError(f"must not be nested more than {MAX_DEPTH} levels deep")
    return value


class UserSettings(BaseModel):
    """A user's settings. None means not chosen."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    language: Line | None = None
    agent: Line | None = None
    max_iterations: int | None = Field(None, ge=1, le=100_000)
    security_analyzer: Line | None = None
    confirmation_mode: bool | None = None
    confirmation_rules: Annotated[tuple[ConfirmationRule, ...], Field(max_length=MOST_RULES)] | None = None
    approval_timeout: float | None = Field(None, ge=0, le=LONGEST_WAIT)
    save_trajectory: bool | None = None
    call_prices: Annotated[tuple[CallPrice, ...], Field(max_length=MOST_PRICES)] | None = None
    auto_approval_budget: float | None = Field(None, ge=0, le=HIGHEST_PRICE)
    spending_pause_at: float | None = Field(None, ge=0, le=HIGHEST_PRICE)
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


def changed(
    old: UserSettings | None, given: Mapping[str, Json], operators: SessionSettings | None = None
) -> UserSettings:
    """The settings after a client has sent `given`: what it leaves out goes to its default, but for KEPT.

    A client sends back all that it was shown: a value of the operator's is not taken for the user's own choice, unless
    it is the model that the user's own key or address is for. Raises BadInput that names the key, for an unknown one
    also the nearest.
    """
    known = UserSettings.model_fields
    for key in sorted(given.keys() - known.keys() - SHOWN_ONLY):
        raise BadInput(key, f"is not a setting{nearest(key, known)}")
    kept = {*KEPT, *(given.keys() & set(KEYS))}
    before = {} if old is None else {key: value for key, value in old.model_dump().items() if key in kept}
    now = {key: value for key, value in given.items() if key in known and value is not None}
    if isinstance(config := now.get("mcp_config"), dict) and not too_deep(config):
        now["mcp_config"] = unmasked(config, None if old is None else old.mcp_config)
    try:
        settings = UserSettings.model_validate({**before, **now})
    except ValidationError as error:
        raise bad_input(error) from None
    return settings if operators is None else _without_echoes(settings, old or UserSettings(), operators)


def _without_echoes(settings: UserSettings, old: UserSettings, operators: SessionSettings) -> UserSettings:
    shown = completed(UserSettings(), operators)
    echoed = {name for name in _OPERATORS if getattr(old, name) is None and getattr(settings, name) is not None}
    echoed = {name for name in echoed if getattr(settings, name) == getattr(shown, name)}
    if settings.llm_api_key or settings.llm_base_url:
        echoed.discard("llm_model")
    return settings.model_copy(update=dict.fromkeys(echoed))


def completed(settings: UserSettings, operators: SessionSettings) -> UserSettings:
    """The user's settings, with the operator's where the user has chosen nothing."""
    found: dict[str, Any] = operators.model_dump(include=set(_OPERATORS))
    found["agent"] = next((name for name, ours in AGENTS.items() if ours == operators.agent), operators.agent)
    missing = {name: found[name] for name in _OPERATORS if getattr(settings, name) in (None, "")}
    return settings.model_copy(update=missing)


def stored(content: Mapping[str, Json]) -> UserSettings | None:
    """Stored settings without those that are not valid; None if nothing is left."""
    try:
        return UserSettings.model_validate(content)
    except ValidationError as error:
        wrong = {each["loc"][0] for each in error.errors(include_url=False, include_input=False)}
    left = {key: value for key, value in content.items() if key not in wrong}
    return UserSettings.model_validate(left) if left else None


def layer(settings: UserSettings) -> dict[str, Json]:
    """The user's layer of a conversation's settings, by their names there. Empty texts are ignored."""
    found = {
        key: value
        for key, value in settings.model_dump().items()
        if key in SessionSettings.model_fields and value not in (None, "")
    }
    if settings.agent:
        found["agent"] = AGENTS.get(settings.agent, settings.agent)
    if settings.security_analyzer == "none":
        del found["security_analyzer"]
    if not settings.enable_default_condenser:
        found["condenser_max_size"] = NEVER
    return found


def shown(
    settings: UserSettings, providers: Mapping[str, str | None], *, operators_key: bool = False
) -> dict[str, Json]:
    """The settings for their owner: whether a key is set, never the key, and MCP servers with their secrets masked.
    `providers` maps git providers with a token to their hosts; with `operators_key`, the model is reached as the
    operator reaches it."""
    unknown = {name for name in OWN if getattr(settings, name) is None}
    return {
        **settings.model_dump(mode="json", exclude=unknown),
        **dict.fromkeys(KEYS),
        "mcp_config": None if settings.mcp_config is None else masked(settings.mcp_config),
        "secrets_store": {"provider_tokens": {}},
        "provider_tokens_set": dict(providers),
        "llm_api_key_set": operators_key or bool(settings.llm_api_key),
        "search_api_key_set": bool(settings.search_api_key),
    }
