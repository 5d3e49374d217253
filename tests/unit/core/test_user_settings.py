"""What a user's settings become: kept, shown, and taken for a conversation's layer."""

from typing import Any

import pytest

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.settings import NEVER, SessionSettings, environment, merge, public, secrets
from openhands_sessions.core.user_settings import KEPT, OWN, UserSettings, changed, completed, layer, shown, stored

FULL: dict[str, Any] = {
    "language": "en",
    "agent": "CodeActAgent",
    "llm_model": "openai/m",
    "llm_api_key": "sk-own",
    "llm_base_url": "https://own",
    "search_api_key": "tvly-own",
    "max_iterations": 7,
    "confirmation_mode": True,
    "user_consents_to_analytics": False,
    "git_user_name": "Ada",
    "git_user_email": "ada@example.org",
}

NAMES = ("language", "agent", "security_analyzer", "llm_model", "email", "git_user_name", "git_user_email")
HEADERS = ("llm_api_key", "search_api_key", "sandbox_api_key")
PLACES = ("llm_base_url", "sandbox_base_container_image", "sandbox_runtime_container_image")


def test_what_is_left_out_goes_to_its_default_but_for_keys_and_the_model() -> None:
    now = changed(changed(None, FULL), {"language": "de"})
    assert now.language == "de"
    assert (now.max_iterations, now.confirmation_mode, now.agent, now.git_user_name) == (None, None, None, None)
    assert {key: getattr(now, key) for key in KEPT & FULL.keys()} == {key: FULL[key] for key in KEPT & FULL.keys()}


def test_the_key_of_sandboxes_goes_to_its_default_but_is_not_lost_by_sending_back_what_was_shown() -> None:
    first = changed(None, {"sandbox_api_key": "sandbox-own"})
    assert changed(first, {"language": "de"}).sandbox_api_key is None
    assert changed(first, shown(first, {})).sandbox_api_key == "sandbox-own"


def test_a_stored_setting_that_is_no_longer_taken_costs_nothing_but_itself() -> None:
    found = stored({**FULL, "git_user_name": "a\0b", "mcp_config": 7})
    assert found == changed(None, {key: FULL[key] for key in FULL.keys() - {"git_user_name"}})
    assert stored({"language": 7}) is None


def test_null_keeps_a_key_and_an_empty_text_takes_it_back() -> None:
    first = changed(None, FULL)
    assert changed(first, {"llm_api_key": None}).llm_api_key == "sk-own"
    gone = changed(first, {"llm_api_key": "", "llm_base_url": ""})
    assert "llm_api_key" not in layer(gone)
    assert "llm_base_url" not in layer(gone)
    assert shown(gone, {})["llm_api_key_set"] is False


def test_what_a_client_was_shown_may_be_sent_back_and_changes_nothing() -> None:
    first = changed(None, FULL)
    assert changed(first, shown(first, {"github": None})) == first


OPERATORS = SessionSettings(llm_model="openai/gpt-4o", confirmation_mode=True, llm_base_url="https://operators")


def test_a_user_is_shown_what_the_operator_has_configured_but_no_address() -> None:
    seen = completed(UserSettings(), OPERATORS)
    assert (seen.llm_model, seen.agent, seen.confirmation_mode) == ("openai/gpt-4o", "CodeActAgent", True)
    assert (seen.llm_base_url, seen.llm_api_key) == (None, None)
    own = completed(changed(None, FULL), OPERATORS)
    assert own == changed(None, FULL).model_copy(update={"max_budget_per_task": None})


def test_what_is_the_operators_is_not_taken_for_the_users_own_choice_when_it_is_sent_back() -> None:
    sent_back = {**shown(completed(UserSettings(), OPERATORS), {}), "language": "de"}
    now = changed(None, sent_back, OPERATORS)
    assert now == UserSettings(language="de")
    assert changed(now, {**sent_back, "confirmation_mode": False}, OPERATORS).confirmation_mode is False


@pytest.mark.parametrize("own", [{"llm_api_key": "sk-own"}, {"llm_base_url": "https://own"}])
def test_the_model_that_a_users_own_key_or_address_is_for_is_kept(own: dict[str, Any]) -> None:
    first = changed(None, {"llm_model": "openai/gpt-4o", **own}, OPERATORS)
    assert first.llm_model == "openai/gpt-4o"
    assert changed(first, {"llm_model": "openai/gpt-4o"}, OPERATORS) == first


def test_what_a_user_has_chosen_once_stays_chosen_where_the_operator_has_the_same() -> None:
    chosen = changed(None, {"confirmation_mode": False}, OPERATORS)
    assert changed(chosen, {"confirmation_mode": True}, OPERATORS).confirmation_mode is True


def test_no_key_is_shown() -> None:
    seen = shown(changed(None, FULL), {"github": "github.example.org"})
    assert (seen["llm_api_key"], seen["search_api_key"], seen["sandbox_api_key"]) == (None, None, None)
    assert (seen["llm_api_key_set"], seen["search_api_key_set"]) == (True, True)
    assert seen["provider_tokens_set"] == {"github": "github.example.org"}
    assert seen.keys() == (UserSettings.model_fields.keys() - set(OWN)) | {
        *("secrets_store", "provider_tokens_set", "llm_api_key_set", "search_api_key_set")
    }


def test_settings_take_effect_by_our_names() -> None:
    merged = merge({"max_iterations": 100}, layer(changed(None, FULL)))
    assert (merged.agent, merged.llm_model, merged.max_iterations) == ("default", "openai/m", 7)
    assert merged.confirmation_mode is True
    assert environment(merged) == {
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
    }


def test_a_users_address_never_gets_the_operators_key() -> None:
    operator = {"llm_base_url": "https://operator", "llm_api_key": "sk-operator"}
    assert merge(operator, layer(changed(None, {"llm_base_url": "https://users"}))).llm_api_key is None
    assert merge(operator, layer(changed(None, {"llm_base_url": ""}))).llm_api_key is not None


def test_the_condenser_is_off_where_the_user_turned_it_off() -> None:
    assert layer(changed(None, {"enable_default_condenser": False}))["condenser_max_size"] == NEVER
    assert layer(changed(None, {"condenser_max_size": 50}))["condenser_max_size"] == 50
    assert "condenser_max_size" not in layer(changed(None, {}))


@pytest.mark.parametrize(
    ("given", "field", "told"),
    [
        ({"llm_modle": "m"}, "llm_modle", "did you mean 'llm_model'?"),
        ({"zzz": None}, "zzz", "is not a setting"),
        ({"max_iterations": 0}, "max_iterations", "is wrong"),
        ({"confirmation_mode": [1]}, "confirmation_mode", "is wrong"),
        ({"remote_runtime_resource_factor": float("inf")}, "remote_runtime_resource_factor", "is wrong"),
        ({"condenser_max_size": 2**63}, "condenser_max_size", "is wrong"),
        *((({name: text}), name, "is wrong") for name in NAMES for text in ("a\0b", "a\nb", "\x1b[2J", "x" * 257)),
        *(
            (({name: text}), name, "is wrong")
            for name in HEADERS
            for text in ("a\0b", "k\n", " k", "kéy", "x" * 10_001)
        ),
        *((({name: text}), name, "is wrong") for name in PLACES for text in ("a\0b", "a b", "a\n", "x" * 2_001)),
        *(({"git_user_name": text}, "git_user_name", "git strips") for text in ("<>", "...", " ", "'", '"; ,')),
    ],
)
def test_what_is_no_setting_is_refused_by_its_name(given: dict[str, Any], field: str, told: str) -> None:
    with pytest.raises(BadInput) as refused:
        changed(None, given)
    assert refused.value.field == field
    assert told in refused.value.message


def test_secrets_are_in_the_environment_and_shown_to_nobody() -> None:
    one: dict[str, Any] = {"custom_secrets": {"A": {"value": "hunter2-hunter2", "description": "d"}}}
    two: dict[str, Any] = {"custom_secrets": {"B": {"value": "correct-horse"}}, "llm_api_key": "sk-1"}
    merged = merge(one, two)
    assert environment(merged) == {"A": "hunter2-hunter2", "B": "correct-horse"}
    assert set(secrets(merged)) == {"hunter2-hunter2", "correct-horse", "sk-1"}
    assert "hunter2" not in repr(merged)
    assert "custom_secrets" not in public(merged)


@pytest.mark.parametrize("name", ["", "a-b", "1a", "PATH", "OHS_ACTION_ID", "LD_PRELOAD", "BASH_ENV", "a=b", "ä"])
def test_a_secret_has_a_name_that_an_environment_can_take(name: str) -> None:
    with pytest.raises(BadInput, match="name"):
        merge({"custom_secrets": {name: {"value": "some value"}}})


@pytest.mark.parametrize(("given", "taken"), [("rules", "rules"), ("llm", "llm"), ("none", None), ("", None)])
def test_the_security_analyzer_is_the_one_that_was_chosen(given: str, taken: str | None) -> None:
    assert merge(layer(changed(None, {"security_analyzer": given}))).security_analyzer == taken


def test_settings_that_the_v0_client_does_not_know_are_shown_where_they_are_chosen() -> None:
    seen = shown(changed(None, {"approval_timeout": 60, "confirmation_rules": [{"decision": "ask"}]}), {})
    assert (seen["approval_timeout"], seen["confirmation_rules"]) == (
        60.0,
        [{"tool": "*", "pattern": None, "risk": "any", "decision": "ask"}],
    )
