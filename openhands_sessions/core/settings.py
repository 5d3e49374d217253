"""Settings of a conversation, with its secrets, and how layers of them are merged."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from openhands_sessions.core.agents import AgentDefinition, DefinedAgents
from openhands_sessions.core.call_prices import HIGHEST_PRICE, MOST_PRICES, CallPrice
from openhands_sessions.core.confirmation_rules import MOST_RULES, ConfirmationRule
from openhands_sessions.core.custom_secrets import (
    CustomSecret,
    check_description,
    check_name,
    check_together,
    check_value,
)
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.mcp_servers import McpConfig
from openhands_sessions.core.state_keys import StateAccess
from openhands_sessions.core.texts import Address, GitName, Line, SecretKey

_BARE_NAMES = {"openai": re.compile(r"(gpt|chatgpt|codex)-|o[1-9](-|$)"), "anthropic": re.compile(r"claude-")}
"""Names that litellm also takes without their provider; a web client may send them back with it."""
_HELD = (
    *("agent", "confirmation_mode", "security_analyzer", "max_iterations", "max_budget_per_task"),
    *("condenser_max_size", "command_timeout", "agents", "agent_visibility", "state_tool"),
)
"""How a conversation works. How its model is reached, and what its commands find in their environment, is not held:
keys change, and what failed for a wrong one must go on with the right one."""
NEVER = 1_000_000
"""The value of `condenser_max_size` that turns the condenser off."""
LONGEST_WAIT = 1_000_000.0
"""Seconds: timers cannot wait much longer."""
LONGEST_INSTRUCTIONS = 1_000_000


class SessionSettings(BaseModel):
    """One conversation's settings, by the names they have on the wire."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    agent: Line = Field(
        "default", description="The agent: `default`, which needs a model and is `shell` without one; or `shell`."
    )
    agents: DefinedAgents = Field(
        {},
        description="Several agents by name, each with `instructions`, an `llm_model` of its own if it is to have "
        "one, and `handoffs` to others; a message names its agent, the first one is meant otherwise. Without, there is "
        "one agent.",
    )
    agent_visibility: Literal["answers", "full"] = Field(
        "answers",
        description="What several agents are shown of each other: what the user says to them and their `answers`, or "
        "their tool calls too (`full`).",
    )
    state_tool: StateAccess = Field(
        "off",
        description="Whether agents have the tool `state`, which shows them the state of the conversation, of its user "
        "and of the app (`read`), and also changes that of the conversation (`write`).",
    )
    llm_model: Line | None = Field(None, description="The model: a name of litellm, or `scripted:NAME`.")
    llm_base_url: Address | None = Field(None, description="Address of the model; its provider's own if not set.")
    llm_api_key: SecretKey | None = Field(None, description="The provider's key; never shown.")
    llm_timeout: float = Field(
        600.0, gt=0, le=LONGEST_WAIT, description="Most seconds of one model call, with all its retries."
    )
    llm_retries: int = Field(4, ge=0, le=20, description="How often a failed model call is repeated.")
    confirmation_mode: bool = Field(False, description="Ask before every action that changes something.")
    security_analyzer: Literal["llm", "rules"] | None = Field(
        None,
        description="What rates the risk of an action: the model (`llm`), or fixed rules too (`rules`). With `rules`, "
        "confirmation mode does not ask about commands that change nothing.",
    )
    confirmation_rules: tuple[ConfirmationRule, ...] = Field(
        (),
        max_length=3 * MOST_RULES,
        description="Rules by which calls run (`allow`), wait for an answer (`ask`) or are refused (`deny`): the first "
        "that matches counts, a request's before its user's, and those before the operator's. What an operator's rule "
        "refuses, no other one allows. Where none matches, `confirmation_mode` decides.",
    )
    approval_timeout: float = Field(
        0.0,
        ge=0,
        le=LONGEST_WAIT,
        description="Seconds after which calls that await an answer are rejected; 0 for never.",
    )
    call_prices: tuple[CallPrice, ...] = Field(
        (),
        max_length=3 * MOST_PRICES,
        description="What calls cost at most, for the auto-approval budget: the first that matches counts, a request's "
        "before its user's, and those before the operator's. Calls of `recurring` work always ask.",
    )
    auto_approval_budget: float = Field(
        0.0,
        ge=0,
        le=HIGHEST_PRICE,
        description="US dollars that calls with a known price may cost without a question, in all, in a conversation "
        "that begins with this setting; 0 turns it off.",
    )
    spending_pause_at: float = Field(
        5.0,
        ge=0,
        le=HIGHEST_PRICE,
        description="US dollars of model calls at which a conversation pauses and asks whether to go on, and asks "
        "again each time the cost has doubled; 0 for never.",
    )
    max_iterations: int = Field(100, ge=1, le=100_000, description="Most model calls of one turn.")
    max_parallel_calls: int = Field(
        1,
        ge=1,
        le=16,
        description="Most calls of one reply that run at the same time, of those that change nothing: `view` of the "
        "editor, and MCP tools that are marked as read-only.",
    )
    max_budget_per_task: float | None = Field(
        None, gt=0, description="Most US dollars of one turn; no limit if not set."
    )
    condenser_max_size: int = Field(
        240, ge=20, le=NEVER, description="Events that a model is shown before older ones are condensed."
    )
    command_timeout: float = Field(
        120.0, gt=0, le=LONGEST_WAIT, description="Most seconds of a command for which the agent names no limit."
    )
    progress_notice: float = Field(
        60.0,
        ge=0,
        le=LONGEST_WAIT,
        description="Seconds without an event or a delta after which a turn says what it waits for; 0 means never.",
    )
    save_trajectory: bool = Field(
        True, description="Whether the trajectory is saved at the end of a session, where the operator has said so."
    )
    conversation_instructions: str | None = Field(
        None, max_length=LONGEST_INSTRUCTIONS, description="Text that is added to the agent's prompt."
    )
    git_user_name: GitName | None = Field(None, description="Author's name for git commits.")
    git_user_email: Line | None = Field(None, description="Author's e-mail address for git commits.")
    mcp_config: McpConfig | None = Field(
        None, description="MCP servers: `sse_servers`, `shttp_servers` (`url`, `api_key`) and `stdio_servers`."
    )
    custom_secrets: dict[str, CustomSecret] = Field(
        {}, description="Secrets by name: each has a `value`, an environment variable of commands, and a `description`."
    )
    _operators_rules: int = PrivateAttr(0)

    @property
    def operators_rules(self) -> tuple[ConfirmationRule, ...]:
        """Those of the confirmation rules that are the operator's: the last ones."""
        return self.confirmation_rules[len(self.confirmation_rules) - self._operators_rules :]

    def with_operators_rules(self, count: int) -> Self:
        """The settings, of whose confirmation rules the last `count` are the operator's."""
        made = self.model_copy()
        made._operators_rules = count
        return made


def merge(*layers: Mapping[str, Json]) -> SessionSettings:
    """The merged settings; later layers win, and None values are ignored. Each layer is another person's.

    A key and an address are a set: a layer with a key of its own is not given the address of the layers before it, and
    one that names another address or provider is not given their key. So the operator's key goes to the operator's
    provider alone, and a user's key never goes to the operator's address. Raises BadInput that names the setting, for
    an unknown one also the nearest.
    """
    merged = _laid(layers, own=False)
    try:
        settings = SessionSettings.model_validate(merged)
    except ValidationError as error:
        raise bad_input(error) from None
    for name, secret in settings.custom_secrets.items():
        check_name(name)
        check_value(secret.value.get_secret_value())
        check_description(secret.description)
    return settings


def together(*layers: Mapping[str, Json]) -> dict[str, Json]:
    """Layers of one person as one: a later key goes to the address of an earlier one. Raises BadInput as `merge`."""
    return _laid(layers, own=True)


def one_reach(one: SessionSettings, other: SessionSettings) -> bool:
    """Whether both reach their models with one key, at one address, of one provider."""
    there, here = (provider(each.llm_model or "") for each in (one, other))
    return (there, one.llm_base_url, one.llm_api_key) == (here, other.llm_base_url, other.llm_api_key)


def provider(model: str) -> str:
    """Whose model it is, as far as its name tells; a name that tells nothing stands for itself."""
    named, slash, _ = model.partition("/")
    return named if slash else next((each for each, bare in _BARE_NAMES.items() if bare.match(model)), model)


def _laid(layers: Sequence[Mapping[str, Json]], *, own: bool) -> dict[str, Json]:
    """The layers over each other; `own` where they are one person's."""
    merged: dict[str, Json] = {}
    for layer in layers:
        for key in sorted(layer.keys() - SessionSettings.model_fields.keys()):
            raise BadInput(key, f"is not a setting{nearest(key, SessionSettings.model_fields)}")
        for name in _not_taken_over(merged, layer, own=own):
            merged.pop(name, None)
        given = {key: value for key, value in layer.items() if value is not None}
        secrets, before = given.get("custom_secrets"), merged.get("custom_secrets")
        check_together(secrets)
        if isinstance(secrets, dict) and isinstance(before, dict):
            given["custom_secrets"] = {**before, **secrets}
        for name in ("confirmation_rules", "call_prices"):
            inner, earlier = given.get(name), merged.get(name)
            if isinstance(inner, list | tuple) and isinstance(earlier, list | tuple):
                given[name] = [*inner, *earlier]
        merged.update(given)
    return merged


def _not_taken_over(merged: Mapping[str, Json], layer: Mapping[str, Json], *, own: bool) -> Sequence[str]:
    """What of the model's key and address before does not go with the layer."""
    before, named = merged.get("llm_model"), layer.get("llm_model")
    if isinstance(before, str) and isinstance(named, str) and provider(before) != provider(named):
        return ("llm_api_key", "llm_base_url")
    if layer.get("llm_base_url") is not None:
        return () if layer["llm_base_url"] == merged.get("llm_base_url") else ("llm_api_key",)
    return ("llm_base_url",) if layer.get("llm_api_key") is not None and not own else ()


def bad_input(error: ValidationError, default: str = "", skipped: int = 0, known: Collection[str] = ()) -> BadInput:
    """The first problem as an error that names its field, or `default` if it has none; `skipped` parts of its location
    are left out of the name. An unknown key comes first, since it explains why another is missing; of `known`, the
    nearest is named."""
    problems = error.errors(include_url=False)
    first = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    place = first["loc"][skipped:]
    field = ".".join(str(part)[:64] for part in place) or default
    match first:
        case {"type": "extra_forbidden"}:
            return BadInput(field, f"is not known{nearest(str(place[-1]), known if len(place) == 1 else ())}")
        case {"type": "missing", "input": dict(given)}:
            return BadInput(field, f"is required{misspelt(str(place[-1]), given.keys() - set(known))}")
        case _:
            return BadInput(field, f"is wrong: {first['msg']}")


def misspelt(missing: str, given: Iterable[object]) -> str:
    """`, and … is not known` where a key that was given is close to the one that is missing, otherwise nothing."""
    close = get_close_matches(missing, map(str, given), n=1)
    return f", and {close[0][:64]!r} is not known" if close else ""


def nearest(key: str, known: Iterable[str]) -> str:
    """`; did you mean …?` where a known key is close, otherwise nothing."""
    close = get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def begun(settings: SessionSettings) -> dict[str, Json]:
    """What a conversation that begins with these settings keeps of them."""
    return settings.model_dump(mode="json", include=set(_HELD))


def holding(settings: SessionSettings, began_with: Mapping[str, Json]) -> SessionSettings:
    """The settings, but for those that `begun` has kept."""
    held: dict[str, Any] = {name: began_with[name] for name in _HELD if name in began_with}
    if isinstance(agents := held.get("agents"), dict):
        held["agents"] = {name: AgentDefinition.model_validate(one) for name, one in agents.items()}
    return settings.model_copy(update=held)


def public(settings: SessionSettings) -> dict[str, Json]:
    """The settings as they may be shown and stored: keys and secrets left out."""
    return settings.model_dump(mode="json", exclude={"llm_api_key", "custom_secrets", "mcp_config"})


def environment(settings: SessionSettings) -> dict[str, str]:
    """The environment variables of commands that the settings add."""
    found = {name: secret.value.get_secret_value() for name, secret in settings.custom_secrets.items()}
    if settings.git_user_name:
        found |= dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), settings.git_user_name)
    if settings.git_user_email:
        found |= dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), settings.git_user_email)
    return found


def secrets(settings: SessionSettings) -> tuple[str, ...]:
    """The values that must be masked in everything that the conversation records."""
    key = settings.llm_api_key
    servers = () if settings.mcp_config is None else settings.mcp_config.secrets
    return (*_values(settings), *servers, *(() if key is None else (key.get_secret_value(),)))


def sandbox_secrets(settings: SessionSettings) -> tuple[str, ...]:
    """Those of the secrets that the sandbox has. It is never told the others, not even in order to mask them."""
    return (*_values(settings), *(() if settings.mcp_config is None else settings.mcp_config.sandbox_secrets))


def _values(settings: SessionSettings) -> tuple[str, ...]:
    return tuple(secret.value.get_secret_value() for secret in settings.custom_secrets.values())
