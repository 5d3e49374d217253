"""What those hear who follow a conversation while its sandbox is made or woken."""

import asyncio
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from openhands_sessions.adapters.runtimes.docker.runtimes import open_docker
from openhands_sessions.ports.runtime import RuntimeSpec
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import PLAIN, comes_to, docker_runtimes
from tests.support.sandboxes import SID, opened, run

CLOCK = re.compile(r"(.*) \((\d+\.\d\d) s\)")
STARTING, STARTED, READY = "STATUS$STARTING_RUNTIME", "STATUS$RUNTIME_STARTED", "STATUS$READY"
WOKEN = [(STARTING, "Waking the sandbox"), (READY, "Sandbox awake")]


@dataclass
class Stages:
    """Hears each stage, which must have a clock."""

    told: list[tuple[str, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __call__(self, status: str, words: str) -> None:
        found = CLOCK.fullmatch(words)
        assert found is not None, words
        self.told.append((status, found[1]))
        self.seconds.append(float(found[2]))

    def spec(self, term: int = 1) -> RuntimeSpec:
        return RuntimeSpec(sid=SID, term=term, on_step=self)


async def test_the_way_to_a_sandbox_is_told_stage_by_stage_with_a_clock(docker_engine: Engine, tmp_path: Path) -> None:
    stages = Stages()
    async with docker_runtimes(docker_engine, tmp_path) as runtimes, runtimes.open(stages.spec()) as runtime:
        assert stages.told == []
        await run(runtime, 0, "true")
        await run(runtime, 1, "true")
    assert stages.told == [
        (STARTING, "Starting the sandbox: the Docker engine answers"),
        (STARTING, "Image present, container created"),
        (STARTING, "Container started, its executor is waited for"),
        (STARTED, "Executor up"),
        (READY, "Workspace ready"),
    ]
    assert stages.seconds == sorted(stages.seconds)
    assert stages.seconds[0] < stages.seconds[-1]


async def test_a_sandbox_that_is_woken_is_told(docker_engine: Engine, tmp_path: Path) -> None:
    stages = Stages()
    restless = replace(PLAIN, pause_after=0.2)
    async with docker_runtimes(docker_engine, tmp_path, restless) as runtimes, runtimes.open(stages.spec()) as runtime:
        await run(runtime, 0, "true")
        await comes_to(docker_engine, runtimes, "paused")
        stages.told.clear()
        await run(runtime, 1, "true")
    assert stages.told == WOKEN


async def test_a_sandbox_that_the_next_server_finds_paused_and_wakes_is_told(
    docker_engine: Engine, tmp_path: Path
) -> None:
    stages = Stages()
    settings = replace(PLAIN, image=docker_engine.base)
    async with docker_runtimes(docker_engine, tmp_path) as keeper, asyncio.timeout(60):
        async with open_docker(tmp_path, settings, address=docker_engine.address) as before, opened(before) as runtime:
            await run(runtime, 0, "true")
        await comes_to(docker_engine, keeper, "paused")
        later = stages.spec(term=2)
        async with (
            open_docker(tmp_path, settings, address=docker_engine.address) as after,
            after.open(later) as runtime,
        ):
            await run(runtime, 1, "true")
    assert stages.told == WOKEN


async def test_who_gets_a_container_that_waited_hears_why_it_has_no_network(
    docker_engine: Engine, tmp_path: Path
) -> None:
    stages = Stages()
    settings = replace(PLAIN, network="egress", warm=1)
    async with docker_runtimes(docker_engine, tmp_path, settings, firewall="openhands-sessions-none") as runtimes:
        await runtimes.warm_up()
        async with asyncio.timeout(60), runtimes.open(stages.spec()) as runtime:
            assert (await run(runtime, 0, "ls /sys/class/net")).output == "lo\n"
    assert (STARTING, "A container that waited is taken") in stages.told
    assert any("no network" in words and "make images" in words for _, words in stages.told)
