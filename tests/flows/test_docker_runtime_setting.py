"""`docker.runtime`: by which of the engine's runtimes sandboxes run."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from openhands_sessions.core.errors import RuntimeUnavailable
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import PLAIN, containers, docker_runtimes
from tests.support.sandboxes import opened, run

OTHER = "io.containerd.runc.v2"
"""Every engine has it, and none calls its default so."""


async def test_a_sandbox_runs_by_the_runtime_that_is_named(docker_engine: Engine, tmp_path: Path) -> None:
    named = replace(PLAIN, runtime=OTHER)
    async with docker_runtimes(docker_engine, tmp_path, named) as runtimes, opened(runtimes) as runtime:
        assert (await run(runtime, 0, "echo hi")).output == "hi\n"
        [(container, _)] = containers(docker_engine, runtimes)
        with closing(docker_engine.client()) as client:
            assert client.api.inspect_container(container)["HostConfig"]["Runtime"] == OTHER


async def test_a_runtime_that_the_engine_does_not_have_is_told_with_what_to_do(
    docker_engine: Engine, tmp_path: Path
) -> None:
    async with docker_runtimes(docker_engine, tmp_path, replace(PLAIN, runtime="runsc")) as runtimes:
        async with opened(runtimes) as runtime:
            with pytest.raises(RuntimeUnavailable, match=r"does not know this runtime: register it in its daemon.json"):
                await run(runtime, 0, "echo hi")
        assert containers(docker_engine, runtimes) == []
