"""How a sandbox's container is made: what it gets to see, and everything that is taken away from it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openhands_sessions.adapters.runtimes.docker.settings import DockerSettings
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.ports.runtime import WORKSPACE

HOME = "/sandbox"
STATE = "/run/executor"
EXECUTOR = "/run/executor.pyz"
PROGRAMS = "/run/programs"
"""Where the executor lies as a volume, which cannot be mounted on a file."""
PORT = 7411
"""On which an executor listens that shares no folder with the server."""
_TCP = f"{PORT}/tcp"
SECRET = "secret"
INSTANCE = "openhands-sessions.instance"
CONVERSATION = "openhands-sessions.conversation"
TERM = "openhands-sessions.term"
SPEC_DIGEST = "openhands-sessions.recipe"
WARM = "openhands-sessions.warm"
"""Labels. The term is the owner's who had it made; a later owner may have attached to it. One that waited for a
conversation has WARM instead of that and the term: labels cannot be changed."""

ContainerSpec = dict[str, Any]
"""What the engine is asked for, but for name and labels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MountSpec:
    """What a container is given: mounts as the engine's API has them, where the executor lies in it, and options of the
    executor. `published` is the address under which its port is, None where it has none."""

    mounts: list[dict[str, Any]]
    executor: str
    options: Mapping[str, object] = field(default_factory=dict)
    published: str | None = None


def container_spec(settings: DockerSettings, mounts: MountSpec, network: str) -> ContainerSpec:
    """The body of a request to make a container, as the engine's API has it."""
    user, group = settings.owner
    return {
        "Image": settings.image,
        "User": f"{user}:{group}",
        "Entrypoint": ["python3", "-I", "-S", mounts.executor],
        "Cmd": _words(settings, mounts),
        "Env": [f"HOME={HOME}", "USER=sandbox", "LOGNAME=sandbox", "LANG=C.UTF-8", "SHELL=/bin/bash"],
        "WorkingDir": WORKSPACE,
        "Hostname": "sandbox",
        "NetworkDisabled": network == "none",
        "HostConfig": {
            "Mounts": mounts.mounts,
            "NetworkMode": network,
            "Init": True,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "64k", "max-file": "1"}},
            **_taken_away(settings),
            **({} if mounts.published is None else {"PortBindings": {_TCP: [{"HostIp": mounts.published}]}}),
        },
        **({} if mounts.published is None else {"ExposedPorts": {_TCP: {}}}),
    }


def bind_mounts(paths: SandboxPaths, executor: Path) -> MountSpec:
    """Folders of this machine. Unlike `Binds`, these mounts are refused where the source is missing; `Binds` would make
    a folder of it."""
    folders = ((paths.workspace, WORKSPACE), (paths.state, STATE), (paths.home, HOME))
    mounts: list[dict[str, Any]] = [
        *({"Type": "bind", "Source": str(source), "Target": target} for source, target in folders),
        {"Type": "bind", "Source": str(executor), "Target": EXECUTOR, "ReadOnly": True},
    ]
    return MountSpec(mounts=mounts, executor=EXECUTOR)


def spec_digest(spec: ContainerSpec) -> str:
    """Tells whether a container was made like this."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def _words(settings: DockerSettings, mounts: MountSpec) -> list[str]:
    options = {
        "--socket": f"{STATE}/executor.sock",
        "--workspace": WORKSPACE,
        "--state": STATE,
        "--idle-timeout": 0,  # the container is paused and ended from outside
        "--head": settings.output_head,
        "--tail": settings.output_tail,
        **mounts.options,
    }
    return [str(word) for option in options.items() for word in option]


def _taken_away(settings: DockerSettings) -> dict[str, Any]:
    """The engine's own filter of system calls stays on: naming none keeps its default."""
    return {
        "ReadonlyRootfs": True,
        "Tmpfs": {
            "/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={settings.temporary_size}",
            "/var/tmp": f"rw,nosuid,nodev,mode=1777,size={settings.temporary_size}",
        },
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "IpcMode": "private",
        "PidsLimit": settings.processes,
        "Memory": settings.memory,
        "MemorySwap": settings.memory,  # of memory and swap together: no swap
        "NanoCpus": int(settings.cpus * 1_000_000_000),
        "OomScoreAdj": 500,  # rather a sandbox than the server
        "ShmSize": 64 << 20,
        "Ulimits": [
            _limit("nofile", settings.open_files),
            _limit("fsize", settings.file_size),
            _limit("core", 0),
        ],
        **({} if settings.runtime is None else {"Runtime": settings.runtime}),
    }


def _limit(name: str, most: int) -> dict[str, Any]:
    return {"Name": name, "Soft": most, "Hard": most}
