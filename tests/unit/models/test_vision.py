"""Which models take images, by litellm's table."""

import pytest

from openhands_sessions.adapters.models.litellm import LiteLlmModels
from openhands_sessions.ports.model import ModelSpec


@pytest.mark.parametrize(
    ("name", "vision"),
    [("openai/gpt-4o", True), ("gpt-4o", True), ("openai/gpt-3.5-turbo", False), ("openai/of-our-own", False)],
)
async def test_images_are_for_models_that_are_known_to_take_them(name: str, vision: bool) -> None:
    async with LiteLlmModels() as models:
        model = await models.open(ModelSpec(name=name, base_url="http://127.0.0.1:9/v1", api_key="key"))
        assert model.vision is vision
