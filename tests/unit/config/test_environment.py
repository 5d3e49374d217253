"""Which variables of a server's environment hold secrets, and that they can be taken out of it."""

import pytest

from openhands_sessions.config.environment import forget_secrets, provider_keys, to_mask

OWN = {"OHS_LLM__API_KEY": "sk", "OHS_SESSION_API_KEY": "a", "OHS_SERVER__ENCRYPTION_KEY": "b", "OHS_STORE__URL": "c"}
HARMLESS = {"PATH": "/bin", "OHS_LLM__MODEL": "m", "OPENAI_API_BASE": "u", "AWS_REGION": "r", "API_KEYS_FILE": "f"}


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "REPLICATE_API_TOKEN", "ANTHROPIC_AUTH_TOKEN", "WATSONX_APIKEY", "AWS_SECRET_ACCESS_KEY"]
)
def test_keys_of_providers_are_known_by_their_names(name: str) -> None:
    assert {key: text.get_secret_value() for key, text in provider_keys({name: "sk-1", **OWN, **HARMLESS}).items()} == {
        name: "sk-1"
    }


def test_an_empty_variable_holds_no_key() -> None:
    assert not provider_keys({"OPENAI_API_KEY": ""})


def test_a_placeholder_for_a_key_is_not_masked() -> None:
    keys = provider_keys({"OPENAI_API_KEY": "sk-12345", "OLLAMA_API_KEY": "dummy"})
    assert [key.get_secret_value() for key in to_mask(keys)] == ["sk-12345"]


def test_only_variables_that_hold_secrets_are_forgotten() -> None:
    environ = {"OPENAI_API_KEY": "sk-1", "ohs_llm__api_key": "sk-2", "GROQ_API_KEY": "", **OWN, **HARMLESS}
    forget_secrets(environ)
    assert environ == HARMLESS
