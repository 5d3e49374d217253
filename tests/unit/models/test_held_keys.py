"""Providers' keys that are not in the environment, and reach their providers all the same."""

import pytest

from openhands_sessions.adapters.models.litellm import LiteLlmModels
from openhands_sessions.adapters.models.litellm_library import LiteLlmLibrary
from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.ports.model import ModelRequest, ModelSpec
from tests.support.model_replies import Reply
from tests.support.model_server import model_server

HELLO = ModelRequest(messages=[{"role": "user", "content": "Hello"}], tools=[])


@pytest.mark.parametrize(
    ("model", "variable", "address"),
    [
        ("openai/test-model", "OPENAI_API_KEY", "OPENAI_API_BASE"),
        ("fireworks_ai/test-model", "FIREWORKS_AI_API_KEY", "FIREWORKS_API_BASE"),
        ("friendliai/test-model", "FRIENDLI_TOKEN", "FRIENDLI_API_BASE"),
    ],
)
async def test_a_provider_is_sent_the_key_that_litellm_would_find_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, model: str, variable: str, address: str
) -> None:
    monkeypatch.delenv(variable, raising=False)
    async with model_server([Reply(text="yes")]) as server, LiteLlmModels(keys={variable: "sk-held"}) as models:
        monkeypatch.setenv(address, server.url)
        opened = await models.open(ModelSpec(name=model))
        reply = await opened.complete(HELLO, lambda piece: None, lambda retry: None)
        assert (reply.text, server.requests[0].headers["Authorization"]) == ("yes", "Bearer sk-held")


async def test_an_address_of_the_user_is_not_sent_a_held_key() -> None:
    async with model_server([Reply(text="yes")]) as server, LiteLlmModels(keys={"OPENAI_API_KEY": "sk-held"}) as models:
        opened = await models.open(ModelSpec(name="openai/test-model", base_url=server.url))
        await opened.complete(HELLO, lambda piece: None, lambda retry: None)
        assert "sk-held" not in str(server.requests[0].headers)


async def test_a_key_of_another_provider_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with LiteLlmModels(keys={"GROQ_API_KEY": "sk-held"}) as models:
        with pytest.raises(ModelFailure, match="OPENAI_API_KEY"):
            await models.open(ModelSpec(name="openai/test-model"))


def test_calls_to_aws_are_given_all_that_belongs_together() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "OPENAI_API_KEY": "o"}
    library = LiteLlmLibrary.load(keys=keys)
    given = library.arguments("bedrock/anthropic.claude-v2")
    library.held.release()
    assert given == {"aws_access_key_id": "a", "aws_secret_access_key": "s"}


async def test_the_end_leaves_no_key_in_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with LiteLlmModels(keys={"OPENAI_API_KEY": "sk-held"}) as models:
        await models.open(ModelSpec(name="openai/test-model"))
    async with LiteLlmModels() as models:
        with pytest.raises(ModelFailure, match="OPENAI_API_KEY"):
            await models.open(ModelSpec(name="openai/test-model"))
