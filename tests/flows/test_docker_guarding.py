"""A network that is pruned, and rules that are flushed, while sandboxes are made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.docker.container_spec import CONVERSATION, INSTANCE
from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from openhands_sessions.adapters.runtimes.docker.errors import NetworkGone
from openhands_sessions.adapters.runtimes.docker.network import NO_NETWORK, SandboxNetwork
from openhands_sessions.adapters.runtimes.docker.runtimes import DockerRuntimes
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.runtime import RuntimeSpec
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import PLAIN, docker_runtimes
from tests.support.sandboxes import SID, opened, run

MARK = "0f1e2d3c4b5a6978"
EGRESS = replace(PLAIN, network="egress")
OTHER = ConversationId("other")
_JUMPS = "iptables -S DOCKER-USER; iptables -S INPUT"


@asynccontextmanager
async def networks(engine: Engine, firewall: str, *, sure_for: float = 3600) -> AsyncIterator[SandboxNetwork]:
    """Of an instance without sandboxes."""
    reached = DockerEngine(engine.address)
    made = SandboxNetwork(reached, replace(EGRESS, firewall_image=firewall), MARK, sure_for=sure_for)
    try:
        async with asyncio.timeout(60):
            yield made
    finally:
        await made.remove()
        await reached.close()


@pytest.mark.parametrize("way", ["looked at by the keeper", "one is made much later"])
async def test_rules_that_were_flushed_are_set_again(docker_engine: Engine, way: str) -> None:
    async with networks(
        docker_engine, docker_engine.base, sure_for=0 if way == "one is made much later" else 3600
    ) as ours:
        name = await ours.ready(print)
        await ours.verify(name)
        there = await jumps(docker_engine)
        assert len(there) == 2
        await as_root(docker_engine, _flushing(there))
        assert await jumps(docker_engine) == []
        if way == "looked at by the keeper":
            await ours.renew()
        else:
            assert await ours.ready(print) == name
        await ours.verify(name)
        assert sorted(await jumps(docker_engine)) == sorted(there)


async def test_rules_that_cannot_be_set_again_keep_a_sandbox_from_the_network(docker_engine: Engine) -> None:
    firewall = "openhands-sessions-passing:1"
    told: list[str] = []
    with closing(docker_engine.client()) as client:
        client.images.get(docker_engine.base).tag(firewall)
        async with networks(docker_engine, firewall, sure_for=0) as ours:
            name = await ours.ready(told.append)
            client.images.remove(firewall, force=True)
            assert await ours.ready(told.append) == name
            with pytest.raises(NetworkGone):
                await ours.verify(name)
            assert told == []
            assert await ours.ready(told.append) == NO_NETWORK
            await ours.verify(NO_NETWORK)
            assert "make images" in "".join(told)
            await as_root(docker_engine, _flushing(await jumps(docker_engine)))
            client.images.get(docker_engine.base).tag(firewall)
            await ours.renew()
            await ours.verify(name)
            assert len(await jumps(docker_engine)) == 2
    with closing(docker_engine.client()) as client:
        client.images.remove(firewall, force=True)


@pytest.mark.parametrize("before", ["none was made", "one has ended"])
async def test_a_network_that_was_pruned_is_created_again_for_the_next_sandbox(
    docker_engine: Engine, tmp_path: Path, before: str
) -> None:
    async with docker_runtimes(docker_engine, tmp_path, EGRESS) as runtimes, asyncio.timeout(60):
        async with opened(runtimes) as runtime:
            await run(runtime, 0, "echo kept > file")
            await asyncio.to_thread(_pruned, docker_engine, runtimes, ended=before == "one has ended")
            assert (await run(runtime, 1, "cat file; ls /sys/class/net")).output.split() == ["kept", "eth0", "lo"]
        async with runtimes.open(RuntimeSpec(sid=OTHER, term=1)) as runtime:
            assert (await run(runtime, 0, "ls /sys/class/net")).output.split() == ["eth0", "lo"]


async def test_a_sandbox_gets_no_network_where_the_pruned_one_can_no_longer_be_guarded(
    docker_engine: Engine, tmp_path: Path
) -> None:
    firewall = "openhands-sessions-pruned:1"
    told: list[str] = []
    with closing(docker_engine.client()) as client:
        client.images.get(docker_engine.base).tag(firewall)
        async with docker_runtimes(docker_engine, tmp_path, EGRESS, firewall=firewall) as runtimes, asyncio.timeout(60):
            async with opened(runtimes) as runtime:
                await run(runtime, 0, "true")
            await runtimes.discard(SID)
            [network] = client.networks.list(filters={"label": f"{INSTANCE}={runtimes.instance}"})
            network.remove()
            client.images.remove(firewall, force=True)
            spec = RuntimeSpec(sid=OTHER, term=1, on_step=lambda status, words: told.append(words))
            async with runtimes.open(spec) as runtime:
                assert (await run(runtime, 0, "ls /sys/class/net")).output == "lo\n"
            client.images.get(docker_engine.base).tag(firewall)
        client.images.remove(firewall, force=True)
    assert any("no network" in words for words in told)


def _pruned(engine: Engine, runtimes: DockerRuntimes, *, ended: bool) -> None:
    """The one container ends, and what none is attached to any more is pruned."""
    ours = {"label": f"{INSTANCE}={runtimes.instance}"}
    with closing(engine.client()) as client:
        [container] = client.containers.list(filters={"label": [ours["label"], CONVERSATION]})
        if ended:
            container.kill()
        else:
            container.remove(force=True)
        client.networks.prune(filters=ours)


def _flushing(rules: list[str]) -> str:
    return "".join(f"iptables {each.replace('-A', '-D', 1)}\n" for each in rules)


async def jumps(engine: Engine) -> list[str]:
    """The rules that lead to ours, as iptables lists them."""
    return [line for line in (await as_root(engine, _JUMPS)).splitlines() if f"OHS-{MARK[:8]}" in line]


async def as_root(engine: Engine, script: str) -> str:
    """What a script says that runs in the engine's own network."""
    return await asyncio.to_thread(_as_root, engine, script)


def _as_root(engine: Engine, script: str) -> str:
    with closing(engine.client()) as client:
        said: bytes = client.containers.run(
            engine.base,
            entrypoint=["sh", "-c", script],
            user="0:0",
            network_mode="host",
            cap_add=["NET_ADMIN", "NET_RAW"],
            remove=True,
        )
    return said.decode()
