"""The server in a container, as docker-compose.yml has it, over sandboxes of the same engine."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from docker.errors import ContainerError

from tests.support.compose_project import ComposeProject, compose_project
from tests.support.docker_engine import Engine
from tests.support.docker_server import sent, server_image
from tests.support.system_packages import Missing, unavailable

pytestmark = pytest.mark.timeout(300)
AT = ("--server", "http://127.0.0.1:3000")


@pytest.fixture
async def composition(docker_engine: Engine, tmp_path: Path) -> AsyncIterator[ComposeProject]:
    async with AsyncExitStack() as stack:
        try:
            there = await stack.enter_async_context(compose_project(tmp_path, docker_engine))
        except Missing as problem:
            unavailable(problem)
        yield there


@pytest.mark.long
async def test_a_conversation_is_still_there_after_the_composition_was_stopped_and_started(
    composition: ComposeProject,
) -> None:
    await composition.up()
    said = await composition.program("chat", *AT, typed="$ hostname; id -u; echo kept > x\n")
    assert f"sandbox\n{await _uid(composition)}\n" in said
    assert (await composition.program("login-url")).startswith("http://127.0.0.1:3000/?token=")
    [conversation] = json.loads(await composition.program("sessions", "ls", "--json", *AT))
    sid = conversation["conversation_id"]
    [sandbox] = [each for each in await _sandboxes(composition) if each["conversation"] == sid]
    await composition.run("stop")
    state = (await composition.container())["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    assert '"event":"down"' in (await composition.run("logs")).out
    await composition.up()
    again = await composition.program("chat", *AT, "--conversation", sid, typed="$ cat x\n")
    assert "\nkept\n" in again
    assert sandbox["name"] in [each["name"] for each in await _sandboxes(composition)]
    await composition.run("stop")
    cleared = await composition.run("run", "--rm", "-T", "server", "sandbox", "clear", "--json")
    assert sandbox["name"] in [each["name"] for each in json.loads(cleared.out)]


async def test_the_servers_container_has_nothing_that_it_does_not_need(
    docker_engine: Engine, composition: ComposeProject
) -> None:
    await composition.up()
    described = await composition.container()
    host = described["HostConfig"]
    assert (host["CapDrop"], host["CapAdd"], host["Privileged"]) == (["ALL"], None, False)
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"]
    assert all(host[limit] > 0 for limit in ("Memory", "MemorySwap", "NanoCpus", "PidsLimit"))
    mounts = {mount["Destination"]: mount["Source"] for mount in described["Mounts"]}
    assert mounts.pop("/run/docker.sock") == docker_engine.address.removeprefix("unix://")
    assert mounts == {str(composition.data): str(composition.data)}
    [published] = described["NetworkSettings"]["Ports"]["3000/tcp"]
    assert published["HostIp"] == "127.0.0.1"
    assert await _uid(composition) != "0"
    assert _answers(docker_engine, f"http://127.0.0.1:{published['HostPort']}/health/ready")
    assert not _answers(docker_engine, f"http://127.0.0.1:{published['HostPort']}/api/conversations")


async def test_a_composition_that_lacks_the_sockets_group_says_so(composition: ComposeProject) -> None:
    assert (await composition.run("config")).code == 0
    composition.configure(DOCKER_GID="")
    done = await composition.run("config")
    assert done.code != 0
    assert "which group the socket" in done.err


def test_the_image_holds_no_secret_and_no_root(docker_engine: Engine) -> None:
    with closing(docker_engine.client()) as client:
        config = client.images.get(server_image(docker_engine)).attrs["Config"]
    assert config["User"] == "server"
    assert {line.partition("=")[0] for line in config["Env"]} == {"PATH", "LANG", "HOME", "OHS_SERVER__HOST"}


def test_a_build_is_sent_the_sources_and_nothing_else() -> None:
    named = {"LICENSE", "README.md", "pyproject.toml", "requirements.lock", ".dockerignore", "docker-compose.yml"}
    rooms = ("openhands_sessions/", "runtime_images/server/")
    assert [name for name in sent() if name not in named and not name.startswith(rooms)] == []


async def _sandboxes(composition: ComposeProject) -> list[dict[str, str]]:
    listed: list[dict[str, str]] = json.loads(await composition.program("sandbox", "ls", "--json"))
    return listed


async def _uid(composition: ComposeProject) -> str:
    return (await composition.run("exec", "-T", "server", "id", "-u")).out.strip()


def _answers(engine: Engine, url: str) -> bool:
    """Whether the engine's own machine is answered well there, which need not be this one."""
    with closing(engine.client()) as client:
        try:
            client.containers.run(engine.base, ["curl", "-sf", url], network_mode="host", remove=True)
        except ContainerError:
            return False
    return True
