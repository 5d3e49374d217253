"""`doctor` looks at all that Docker sandboxes need, by making one."""

import asyncio
import json
import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.docker_engine import Engine
from tests.support.programs import PROGRAM, Shell

DOCKER = {"OHS_RUNTIME__KIND": "docker", "OHS_DOCKER__PULL": "false", "OHS_SERVER__PORT": "0"}


def ours(engine: Engine) -> Mapping[str, str]:
    images = {"OHS_DOCKER__IMAGE": engine.base, "OHS_DOCKER__FIREWALL_IMAGE": engine.base}
    return DOCKER | {"OHS_DOCKER__ADDRESS": engine.address} | images


async def looked(data_dir: Path, settings: Mapping[str, str]) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and each check's status and advice."""
    done = await Shell(data_dir, settings).run("doctor", "--json")
    checks = json.loads(done.out)["checks"]
    return done.code, {check["name"]: (check["status"], check["advice"]) for check in checks}


async def test_all_is_well_where_a_sandbox_can_be_made_and_nothing_is_left_of_it(
    docker_engine: Engine, data_dir: Path
) -> None:
    with closing(docker_engine.client()) as client:
        before = {network.name for network in client.networks.list()}
        code, found = await looked(data_dir, ours(docker_engine))
        made = {network.name for network in client.networks.list()} - before
        probes = [each.name for each in client.containers.list(all=True) if "probe" in each.name]
    assert {name: found[name] for name in ("docker", "image", "network", "sandbox")} == dict.fromkeys(
        ("docker", "image", "network", "sandbox"), ("ok", "")
    )
    assert code == 0
    assert (probes, [name for name in made if name.endswith("-egress")]) == ([], [])
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


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system that only one process sees takes root")
async def test_an_engine_that_does_not_see_the_servers_folders_is_told(docker_engine: Engine, data_dir: Path) -> None:
    """As one on another machine, or behind a virtual machine's wall."""
    data_dir.mkdir()
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs "$OHS_DATA_DIR" && exec "$@"', "sh"),
        *(*PROGRAM, "doctor", "--json"),
        env=Shell(data_dir, ours(docker_engine)).environ,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    found = {check["name"]: check for check in json.loads(said)["checks"]}
    assert found["sandbox"]["status"] == "fail"
    assert "under the same path" in found["sandbox"]["advice"]
