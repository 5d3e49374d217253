"""Our images, as sandboxes see them."""

from contextlib import closing
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.runtime import CommandDone, RunCell
from tests.support.docker_engine import Engine
from tests.support.docker_registry import registry
from tests.support.docker_sandboxes import docker_runtimes
from tests.support.sandboxes import Hearing, key, opened, run


@pytest.mark.parametrize("name", ["base", "python"])
async def test_an_image_has_what_its_page_promises(docker_engine: Engine, tmp_path: Path, name: str) -> None:
    image = {"base": docker_engine.base, "python": docker_engine.python}[name]
    programs = {
        "base": "bash git python3 curl rg ssh unzip zip xz patch ps less",
        "python": "git ipython3 pip pytest cc make jq sqlite3 python",
    }[name]
    async with docker_runtimes(docker_engine, tmp_path, image=image) as runtimes, opened(runtimes) as runtime:
        missing = await run(runtime, 0, f"for each in {programs}; do type $each >/dev/null || echo $each; done")
        assert missing.output == ""
        done = await run(runtime, 1, "git init -q . && touch ~/a /tmp/b c && pwd && echo $HOME")
        assert (done.exit_code, done.output) == (0, "/workspace\n/sandbox\n")


async def test_cells_run_where_the_image_has_ipython(docker_engine: Engine, tmp_path: Path) -> None:
    async with docker_runtimes(docker_engine, tmp_path / "base") as runtimes:
        assert not await runtimes.has_ipython()
    image = docker_engine.python
    async with docker_runtimes(docker_engine, tmp_path / "python", image=image) as runtimes:
        assert await runtimes.has_ipython()
        async with opened(runtimes) as runtime:
            await runtime.perform(key(0), RunCell(code="x = 6"), Hearing())
            done = await runtime.perform(key(1), RunCell(code="import requests, yaml; x * 7"), Hearing())
            assert isinstance(done, CommandDone)
            assert "42" in done.output


async def test_an_image_that_is_missing_is_pulled_and_its_progress_told(docker_engine: Engine) -> None:
    engine = DockerEngine(docker_engine.address)
    done: list[int] = []
    try:
        with registry(docker_engine.us) as name:
            await engine.pull(f"{name}:1", done.append)
            assert (await engine.labels_of(f"{name}:1"))["openhands-sessions.test"] == "1"
            with pytest.raises(RuntimeUnavailable, match="manifest"):
                await engine.pull(f"{name}:2", done.append)
        with closing(docker_engine.client()) as client:
            client.images.remove(f"{name}:1")
    finally:
        await engine.close()
    assert done == sorted(set(done))
    assert done[-1] == 100


async def test_images_are_never_run_as_root(docker_engine: Engine) -> None:
    client = docker_engine.client()
    try:
        for image in (docker_engine.base, docker_engine.python):
            assert client.images.get(image).attrs["Config"]["User"] == "sandbox"
    finally:
        client.close()
