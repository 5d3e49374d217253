"""A model that is chosen for a conversation is one layer more: keys and addresses go to their own provider alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.layered_settings import LayeredSettings
from openhands_sessions.core.settings import SessionSettings

OPERATORS = {"llm_model": "openai/gpt-4o", "llm_api_key": "operators-key", "llm_base_url": "https://openai.example"}
USERS = {"llm_model": "anthropic/claude-1", "llm_api_key": "users-key", "llm_base_url": "https://anthropic.example"}
REQUEST = {"llm_model": "mistral/large", "llm_api_key": "requests-key"}


def reached(settings: SessionSettings) -> tuple[str | None, str | None, str | None]:
    key = settings.llm_api_key
    return settings.llm_model, None if key is None else key.get_secret_value(), settings.llm_base_url


@pytest.mark.parametrize(
    ("owners", "model", "key", "address"),
    [
        ((), "openai/gpt-4o-mini", "operators-key", "https://openai.example"),
        ((), "anthropic/claude-2", None, None),
        ((USERS,), "anthropic/claude-2", "users-key", "https://anthropic.example"),
        ((USERS,), "openai/gpt-4o", "operators-key", "https://openai.example"),
        ((USERS,), "mistral/large", None, None),
        ((USERS, REQUEST), "mistral/small", "requests-key", None),
        ((USERS, REQUEST), "anthropic/claude-2", None, None),
        ((USERS, REQUEST), "openai/gpt-4o", "operators-key", "https://openai.example"),
    ],
)
def test_a_model_is_reached_with_what_belongs_to_its_provider(
    owners: Sequence[Mapping[str, Any]], model: str, key: str | None, address: str | None
) -> None:
    layers = LayeredSettings((OPERATORS,), owners)
    before = reached(layers.settings())
    assert reached(layers.settings(model)) == (model, key, address)
    assert reached(layers.settings()) == before


def test_what_a_conversation_began_with_is_held_whatever_the_model_is() -> None:
    layers = LayeredSettings((OPERATORS,), ({"max_iterations": 9},)).held({"max_iterations": 5})
    assert layers.settings("openai/gpt-4o-mini").max_iterations == 5
    assert LayeredSettings((OPERATORS,), ({"max_iterations": 9},)).held(None).settings().max_iterations == 9


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="llm_model"):
        LayeredSettings((OPERATORS,), ()).settings("two\nlines")


def test_the_operators_rules_are_known_among_all() -> None:
    tools = ("server", "user", "request")
    rules: list[Mapping[str, Any]] = [{"confirmation_rules": [{"tool": tool, "decision": "ask"}]} for tool in tools]
    settings = LayeredSettings(rules[:1], rules[1:]).held({"max_iterations": 5}).settings("fake")
    assert [rule.tool for rule in settings.confirmation_rules] == ["request", "user", "server"]
    assert [rule.tool for rule in settings.operators_rules] == ["server"]
    assert LayeredSettings((), rules).settings().operators_rules == ()
