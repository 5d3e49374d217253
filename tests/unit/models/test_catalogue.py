"""The names of models, without the library that knows them."""

import subprocess
import sys

from openhands_sessions.adapters.models.catalogue import Catalogue


async def test_models_that_can_talk_are_listed_once_and_in_order() -> None:
    catalogue = Catalogue()
    names = await catalogue.names()
    assert len(names) > 1000
    assert "gpt-4o" in names
    assert "text-embedding-3-small" not in names
    assert list(names) == sorted(set(names))
    assert await catalogue.names() is names


async def test_the_provider_that_the_v0_client_preselects_has_models() -> None:
    names = await Catalogue().names()
    assert "openhands/claude-sonnet-4-20250514" in names
    assert len([name for name in names if name.startswith("openhands/")]) == 15


async def test_the_operators_model_is_listed_wherever_it_comes_from() -> None:
    names = await Catalogue("openai/a-model-of-our-own").names()
    assert "openai/a-model-of-our-own" in names
    assert list(names) == sorted(set(names))
    assert await Catalogue("gpt-4o").names() == await Catalogue().names()


def test_the_library_is_not_loaded_for_it() -> None:
    program = (
        "import asyncio, sys; from openhands_sessions.adapters.models.catalogue import Catalogue;"
        "asyncio.run(Catalogue().names()); sys.exit('litellm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
