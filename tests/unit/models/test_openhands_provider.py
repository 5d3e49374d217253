"""The provider that the V0 client proposes first."""

import pytest

from openhands_sessions.adapters.models.litellm import LiteLlmModels
from openhands_sessions.adapters.models.openhands_provider import ADDRESS, routed
from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.ports.model import ModelRequest, ModelSpec
from tests.support.model_replies import Reply
from tests.support.model_server import model_server

NAME = "openhands/gpt-5-2025-08-07"


def test_its_models_are_reached_at_its_own_address() -> None:
    spec = routed(ModelSpec(name=NAME, api_key="sk-oh"))
    assert (spec.name, spec.base_url, spec.api_key) == ("litellm_proxy/gpt-5-2025-08-07", ADDRESS, "sk-oh")


def test_models_of_other_providers_are_left_as_they_are() -> None:
    spec = ModelSpec(name="openai/openhands/m")
    assert routed(spec) is spec


def test_without_a_key_it_is_not_asked() -> None:
    with pytest.raises(ModelFailure) as failed:
        routed(ModelSpec(name=NAME))
    assert failed.value.status == "STATUS$ERROR_LLM_AUTHENTICATION"


async def test_it_is_asked_by_the_models_own_name_and_known_by_it() -> None:
    async with model_server([Reply(text="Hello.")]) as server, LiteLlmModels() as models:
        model = await models.open(ModelSpec(name=NAME, base_url=server.url, api_key="sk-loopback"))
        request = ModelRequest(messages=[{"role": "user", "content": "hello"}])
        reply = await model.complete(request, lambda text: None, lambda retry: None)
    assert reply.text == "Hello."
    [asked] = server.requests
    assert (asked.body["model"], asked.headers["Authorization"]) == ("gpt-5-2025-08-07", "Bearer sk-loopback")
    assert (model.vision, model.window) == (True, 272_000)
