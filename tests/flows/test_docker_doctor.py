"""`doctor` looks at all that Docker sandboxes need, by making one."""

import asyncio
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.docker.container_spec import INSTANCE
from tests.support.command_line import PROGRAM, CommandLine
from tests.support.docker_engine import Engine
from tests.support.system_packages import Missing, unavailable

DOCKER = {"OHS_RUNTIME__KIND": "docker", "OHS_DOCKER__PULL": "false", "OHS_SERVER__PORT": "0"}


def ours(engine: Engine) -> Mapping[str, str]:
    images = {"OHS_DOCKER__IMAGE": engine.base, "OHS_DOCKER__FIREWALL_IMAGE": engine.base}
    return DOCKER | {"OHS_DOCKER__ADDRESS": engine.address} | images


async def looked(data_dir: Path, settings: Mapping[str, str]) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and each check's status and advice."""
    done = await CommandLine(data_dir, settings).run("doctor", "--json")
    checks = json.loads(done.out)["checks"]
    return done.code, {check["name"]: (check["status"], check["advice"]) for check in checks}


@pytest.fixture
def image(docker_engine: Engine) -> Iterator[str]:
    """A name of the base image of which no other test creates containers."""
    name = f"openhands-sessions-looked-at:{secrets.token_hex(4)}"
    with closing(docker_engine.client()) as client:
        client.images.get(docker_engine.base).tag(name)
        yield name
        client.images.remove(name)


async def test_all_is_well_where_a_sandbox_can_be_made_and_nothing_is_left_of_it(
    docker_engine: Engine, data_dir: Path, image: str
) -> None:
    with closing(docker_engine.client()) as client:
        began = int(time.time())
        code, found = await looked(data_dir, {**ours(docker_engine), "OHS_DOCKER__IMAGE": image})
        wanted = {"type": "container", "event": "create", "image": image}
        [made] = client.events(since=began, until=int(time.time()) + 1, filters=wanted, decode=True)
        left = {"label": f"{INSTANCE}={made['Actor']['Attributes'][INSTANCE]}"}
        assert client.containers.list(all=True, filters=left) == []
        assert client.networks.list(filters=left) == []
        assert client.volumes.list(filters=left) == []
    assert {name: found[name] for name in ("docker", "image", "network", "sandbox")} == dict.fromkeys(
        ("docker", "image", "network", "sandbox"), ("ok", "")
    )
    assert code == 0
    assert [path.suffix for path in (data_dir / "runtimes" / "docker").iterdir()] == [".pyz"]


async def test_a_missing_daemon_is_told_and_nothing_after_it(data_dir: Path) -> None:
    code, found = await looked(data_dir, DOCKER | {"OHS_DOCKER__ADDRESS": f"unix://{data_dir}/no.sock"})
    assert code == 1
    assert found["docker"][0] == "fail"
    assert "start it" in found["docker"][1]
    assert "image" not in found


@pytest.mark.parametrize(
    ("settings", "name", "status", "advice"),
    [
        ({"OHS_DOCKER__IMAGE": "openhands-sessions-none:1"}, "image", "fail", "make images"),
        ({"OHS_DOCKER__RUNTIME": "runsc"}, "runtime", "fail", "register it in its daemon.json"),
        ({"OHS_DOCKER__FIREWALL_IMAGE": "openhands-sessions-none:1"}, "network", "warn", "has no network"),
    ],
)
async def test_what_is_missing_is_told_with_what_to_do(
    docker_engine: Engine, data_dir: Path, settings: Mapping[str, str], name: str, status: str, advice: str
) -> None:
    code, found = await looked(data_dir, {**ours(docker_engine), **settings})
    assert found[name][0] == status
    assert advice in found[name][1]
    assert code == (1 if status == "fail" else 0)


async def test_an_engine_that_does_not_see_the_servers_folders_is_told(docker_engine: Engine, data_dir: Path) -> None:
    """As an engine on another machine, or in a virtual machine."""
    if os.geteuid() != 0:
        unavailable(Missing("a file system that only one process sees takes root"))
    data_dir.mkdir()
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs "$OHS_DATA_DIR" && exec "$@"', "sh"),
        *(*PROGRAM, "doctor", "--json"),
        env=CommandLine(data_dir, ours(docker_engine)).environ,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    found = {check["name"]: check for check in json.loads(said)["checks"]}
    assert found["sandbox"]["status"] == "fail"
    assert "under the same path" in found["sandbox"]["advice"]
