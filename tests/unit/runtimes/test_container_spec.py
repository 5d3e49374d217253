"""How a container is asked for."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.docker.container_spec import (
    SANDBOX_USER,
    DockerSettings,
    bind_mounts,
    container_spec,
    spec_digest,
)
from openhands_sessions.adapters.runtimes.docker.storage import executor_archive
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths

SETTINGS = DockerSettings()
PLACE = SandboxPaths(Path("/data/talk"))


def asked(settings: DockerSettings = SETTINGS) -> dict[str, object]:
    host: dict[str, object] = container_spec(settings, bind_mounts(PLACE, Path("/data/executor.pyz")), "none")[
        "HostConfig"
    ]
    return host


def test_everything_is_taken_away_that_commands_do_not_need() -> None:
    host = asked()
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"] is host["Init"] is True
    assert host["Privileged"] is False
    assert host["MemorySwap"] == host["Memory"] == SETTINGS.memory
    assert host["PidsLimit"] == SETTINGS.processes
    assert not {"Binds", "CapAdd", "Devices", "PortBindings", "PidMode", "UsernsMode"} & host.keys()


def test_only_its_own_folders_and_the_executor_are_mounted() -> None:
    mounts = asked()["Mounts"]
    assert isinstance(mounts, list)
    assert {(mount["Source"], mount["Target"], mount.get("ReadOnly", False)) for mount in mounts} == {
        ("/data/talk/workspace", "/workspace", False),
        ("/data/talk/state", "/run/executor", False),
        ("/data/talk/home", "/sandbox", False),
        ("/data/executor.pyz", "/run/executor.pyz", True),
    }


def test_it_never_runs_as_root() -> None:
    expected = (os.geteuid(), os.getegid()) if os.geteuid() else (SANDBOX_USER, SANDBOX_USER)
    assert SETTINGS.owner == expected
    assert replace(SETTINGS, user=1234).owner == (1234, 1234)


def test_a_runtime_of_the_engine_is_named_only_where_one_is_set() -> None:
    assert "Runtime" not in asked()
    assert asked(replace(SETTINGS, runtime="runsc"))["Runtime"] == "runsc"


@pytest.mark.parametrize("change", [{"memory": 1 << 30}, {"image": "other"}, {"user": 1234}, {"output_head": 1}])
def test_another_recipe_has_another_digest(change: dict[str, object]) -> None:
    plain = container_spec(SETTINGS, bind_mounts(PLACE, Path("/e")), "none")
    other = container_spec(replace(SETTINGS, **change), bind_mounts(PLACE, Path("/e")), "none")  # type: ignore[arg-type]  # any field
    assert spec_digest(plain) == spec_digest(container_spec(SETTINGS, bind_mounts(PLACE, Path("/e")), "none"))
    assert (
        spec_digest(plain)
        != spec_digest(other)
        != spec_digest(container_spec(SETTINGS, bind_mounts(PLACE, Path("/e")), "bridge"))
    )


def test_the_executor_is_archived_once_and_readable_for_others(tmp_path: Path) -> None:
    archive = executor_archive(tmp_path)
    before = archive.stat()
    assert executor_archive(tmp_path) == archive
    assert archive.stat().st_mtime_ns == before.st_mtime_ns
    assert before.st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [archive]
