"""Layers of settings, merged."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.settings import (
    SessionSettings,
    begun,
    holding,
    merge,
    one_reach,
    provider,
    public,
    together,
)

KEY, URL = "llm_api_key", "llm_base_url"
LAYERS = st.lists(
    st.dictionaries(st.sampled_from([KEY, URL, "llm_model"]), st.none() | st.sampled_from("abc"), max_size=3),
    max_size=5,
)


def key_of(*layers: dict[str, Any]) -> str | None:
    key = merge(*layers).llm_api_key
    return None if key is None else key.get_secret_value()


def test_no_layers_are_the_defaults() -> None:
    assert merge() == merge({}) == SessionSettings()


def test_the_last_layer_that_says_something_wins() -> None:
    merged = merge({"max_iterations": 1, "agent": "shell"}, {"max_iterations": 2}, {"max_iterations": None})
    assert (merged.max_iterations, merged.agent) == (2, "shell")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"git_user_name": "a\0b"}, "git_user_name"),
        ({"git_user_email": "a\nb"}, "git_user_email"),
        ({"git_user_name": "x" * 257}, "git_user_name"),
        ({"agent": "a\x1b[2J"}, "agent"),
        ({"llm_model": "m\r\n"}, "llm_model"),
        ({"llm_base_url": "http://x\ty"}, "llm_base_url"),
        ({"llm_api_key": "key\n"}, "llm_api_key"),
        ({"llm_api_key": "x" * 10_001}, "llm_api_key"),
        ({"llm_timeout": float("inf")}, "llm_timeout"),
        ({"llm_timeout": 1e300}, "llm_timeout"),
        ({"command_timeout": 1e300}, "command_timeout"),
        ({"max_budget_per_task": float("nan")}, "max_budget_per_task"),
        ({"condenser_max_size": 10**20}, "condenser_max_size"),
        ({"conversation_instructions": "x" * 1_000_001}, "conversation_instructions"),
        ({"custom_secrets": {"A": {"value": "secret", "description": "a\0b"}}}, "description"),
        ({"custom_secrets": {"A": {"value": "secret", "description": "x" * 1_001}}}, "description"),
        ({"custom_secrets": {f"A{number}": {"value": "x" * 16_000} for number in range(2)}}, "custom_secrets"),
        ({"custom_secrets": {f"A{number}": {"value": "x"} for number in range(201)}}, "custom_secrets"),
    ],
)
def test_what_no_command_or_header_could_hold_is_refused_by_its_name(given: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        merge(given)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "name", ["Ada Lovelace", "Ærøskøbing é", "\u0646\u200c\u0647", "-", ".a", "👩\u200d💻", "", "x" * 256]
)
def test_whoever_has_a_name_may_have_it(name: str) -> None:
    assert merge({"git_user_name": name, "git_user_email": "ada@example.org"}).git_user_name == name


@given(LAYERS)
@settings(max_examples=200, deadline=None)
def test_a_key_never_goes_to_an_address_of_another_layer(layers: list[dict[str, Any]]) -> None:
    merged = merge(*layers)
    if merged.llm_api_key is not None:
        [*_, last] = [place for place, layer in enumerate(layers) if layer.get(KEY) is not None]
        named = [layer[URL] for layer in layers[last:] if layer.get(URL) is not None]
        assert set(named) == ({merged.llm_base_url} - {None})


@given(LAYERS)
@settings(max_examples=200, deadline=None)
def test_layers_of_one_person_are_as_the_last_says_and_never_change_the_address_of_a_key(
    layers: list[dict[str, Any]],
) -> None:
    merged = together(*layers)
    if KEY in merged:
        [*_, last] = [place for place, layer in enumerate(layers) if layer.get(KEY) is not None]
        named = {layer[URL] for layer in layers[last:] if layer.get(URL) is not None}
        assert named <= {merged.get(URL)}


MODEL = "llm_model"
OPERATORS = {MODEL: "openai/gpt-4o", URL: "https://operators", KEY: "sk-operator"}


@pytest.mark.parametrize(
    ("own", "reached"),
    [
        ({}, ("openai/gpt-4o", "https://operators", "sk-operator")),
        ({MODEL: "openai/o3"}, ("openai/o3", "https://operators", "sk-operator")),
        ({MODEL: "o3"}, ("o3", "https://operators", "sk-operator")),
        ({MODEL: "anthropic/claude"}, ("anthropic/claude", None, None)),
        ({KEY: "sk-own"}, ("openai/gpt-4o", None, "sk-own")),
        ({MODEL: "openai/o3", KEY: "sk-own"}, ("openai/o3", None, "sk-own")),
        ({MODEL: "anthropic/claude", KEY: "sk-own"}, ("anthropic/claude", None, "sk-own")),
        ({URL: "https://own"}, ("openai/gpt-4o", "https://own", None)),
        ({URL: "https://own", MODEL: "openai/o3"}, ("openai/o3", "https://own", None)),
        ({URL: "https://own", MODEL: "ollama/x"}, ("ollama/x", "https://own", None)),
        ({URL: "https://own", KEY: "sk-own"}, ("openai/gpt-4o", "https://own", "sk-own")),
        ({URL: "https://own", KEY: "sk-own", MODEL: "ollama/x"}, ("ollama/x", "https://own", "sk-own")),
        ({URL: "https://operators"}, ("openai/gpt-4o", "https://operators", "sk-operator")),
        ({URL: "https://operators", MODEL: "anthropic/claude"}, ("anthropic/claude", "https://operators", None)),
        ({URL: "https://operators", KEY: "sk-own"}, ("openai/gpt-4o", "https://operators", "sk-own")),
    ],
)
def test_of_model_key_and_address_each_mix_with_the_operators_is_decided(
    own: dict[str, str], reached: tuple[str, str | None, str | None]
) -> None:
    merged = merge(OPERATORS, own)
    assert (merged.llm_model, merged.llm_base_url, key_of(OPERATORS, own)) == reached
    assert one_reach(merged, merge(OPERATORS)) == (reached[1:] == ("https://operators", "sk-operator"))


def test_a_key_of_a_request_goes_to_the_address_of_the_same_user_and_not_to_the_operators() -> None:
    users = {MODEL: "openai/m", URL: "https://own"}
    assert merge(OPERATORS, together(users, {KEY: "sk-request"})).llm_base_url == "https://own"
    assert merge(OPERATORS, together({}, {KEY: "sk-request"})).llm_base_url is None
    assert key_of(OPERATORS, together({**users, KEY: "sk-own"}, {URL: "https://request"})) is None
    back = together({MODEL: "anthropic/c", KEY: "sk-own"}, {MODEL: "openai/o3"})
    assert key_of(OPERATORS, back) == "sk-operator", "the operator's provider is reached as the operator reaches it"


@pytest.mark.parametrize(
    ("model", "whose"),
    [
        *(("gpt-4o", "openai"), ("openai/gpt-4o", "openai"), ("o3", "openai"), ("o4-mini", "openai")),
        *(("claude-opus-4-20250514", "anthropic"), ("openrouter/anthropic/claude", "openrouter")),
        *(("scripted:demo", "scripted:demo"), ("ornate", "ornate"), ("", "")),
    ],
)
def test_a_models_name_tells_its_provider(model: str, whose: str) -> None:
    assert provider(model) == whose


def test_the_operators_key_stays_with_the_operators_address() -> None:
    operator = {URL: "https://ours", KEY: "k"}
    assert key_of(operator) == "k"
    assert key_of(operator, {"llm_model": "m"}) == "k"
    assert key_of(operator, {URL: "https://ours"}) == "k"
    assert key_of(operator, {URL: "https://theirs"}) is None
    assert key_of(operator, {URL: ""}) is None
    assert key_of(operator, {URL: "https://theirs", KEY: "own"}) == "own"
    assert key_of({KEY: "k"}, {URL: "https://theirs"}) is None
    assert key_of(operator, {URL: "https://theirs", KEY: "own"}, {URL: "https://ours"}) is None


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("max_iteration", "did you mean 'max_iterations'?"),
        ("llm_modle", "did you mean 'llm_model'?"),
        ("zzz", "setting"),
    ],
)
@pytest.mark.parametrize("value", [1, None])
def test_an_unknown_key_is_refused_with_the_nearest_one(key: str, advice: str, value: int | None) -> None:
    with pytest.raises(BadInput) as refused:
        merge({"agent": "shell"}, {key: value})
    assert refused.value.field == key
    assert refused.value.message.endswith(advice)


@pytest.mark.parametrize(
    "layer",
    [
        {"max_iterations": 0},
        {"max_iterations": "many"},
        {"max_budget_per_task": -1},
        {"llm_timeout": float("nan")},
        {"command_timeout": 0},
        {"llm_retries": 21},
        {"confirmation_mode": "perhaps"},
        {"llm_model": ["a"]},
    ],
)
def test_a_wrong_value_is_refused_by_its_name_and_not_repeated(layer: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as refused:
        merge(layer)
    assert refused.value.field == next(iter(layer))


def test_a_refusal_never_shows_a_key() -> None:
    with pytest.raises(BadInput) as refused:
        merge({KEY: ["sk-very-secret"]})
    assert "secret" not in str(refused.value)


def test_settings_are_shown_without_the_key() -> None:
    shown = public(merge({KEY: "sk-hush-hush", "llm_model": "m"}))
    assert KEY not in shown
    assert shown["llm_model"] == "m"
    assert "hush" not in repr(merge({KEY: "sk-hush-hush"}))


def test_what_a_conversation_began_with_holds_also_where_it_was_nothing() -> None:
    began = begun(merge({"confirmation_mode": True, "max_iterations": 7, "agent": "shell"}))
    now = merge({"security_analyzer": "rules", "max_budget_per_task": 2.0, "max_iterations": 9, "llm_model": "new"})
    held = holding(now, json.loads(json.dumps(began)))
    assert (held.confirmation_mode, held.security_analyzer) == (True, None)
    assert (held.max_iterations, held.max_budget_per_task, held.agent) == (7, None, "shell")
    assert held.llm_model == "new", "how the model is reached follows the settings of the day"
    assert holding(now, {}) == now


def test_nothing_secret_is_kept_of_what_a_conversation_began_with() -> None:
    secret: dict[str, Any] = {
        "custom_secrets": {"A": {"value": "hush-hush"}},
        KEY: "sk-hush",
        "mcp_config": {"sse_servers": ["https://x"]},
    }
    assert "hush" not in json.dumps(begun(merge(secret)))
    assert begun(merge(secret)) == begun(merge())


def test_a_key_is_not_sent_to_another_provider() -> None:
    operator = {"llm_model": "openai/gpt-4o", "llm_api_key": "sk-operator"}
    assert merge(operator, {"llm_model": "openai/gpt-4o-mini"}).llm_api_key is not None
    assert merge(operator, {"llm_model": "anthropic/claude"}).llm_api_key is None
    own = merge(operator, {"llm_model": "anthropic/claude", "llm_api_key": "sk-own"}).llm_api_key
    assert own is not None
    assert own.get_secret_value() == "sk-own"
