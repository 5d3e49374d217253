"""A test that leaves something in the engine is noticed."""

from contextlib import closing
from pathlib import Path

from openhands_sessions.adapters.runtimes.docker.container_spec import INSTANCE
from tests.support.docker_engine import Engine
from tests.support.docker_leftovers import leftovers
from tests.support.docker_sandboxes import docker_runtimes
from tests.support.sandboxes import opened, run


async def test_what_is_left_is_found_and_what_others_have_is_not(docker_engine: Engine, tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    async with docker_runtimes(docker_engine, own / "sandboxes") as runtimes, opened(runtimes) as runtime:
        await run(runtime, 0, "true")
        [container] = leftovers(docker_engine, own)
        assert runtimes.instance in container
        with closing(docker_engine.client()) as client:
            name, label = f"left-{runtimes.instance}", {INSTANCE: runtimes.instance}
            made = [client.networks.create(name, labels=label), client.volumes.create(name, labels=label)]
            assert leftovers(docker_engine, own) == [container, f"network {name}", f"volume {name}"]
            for each in made:
                each.remove()
        other.mkdir()
        assert leftovers(docker_engine, other) == []
    assert leftovers(docker_engine, own) == []
