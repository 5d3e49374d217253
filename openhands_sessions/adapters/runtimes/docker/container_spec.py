"""The settings of Docker sandboxes, and the request to create a container: its mounts, its limits, its labels."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.ports.runtime import WORKSPACE

HOME = "/sandbox"
STATE = "/run/executor"
EXECUTOR = "/run/executor.pyz"
EXECUTOR_VOLUME = "/run/programs"
"""Where the volume with the executor is mounted; a volume cannot be mounted on a file."""
PORT = 7411
"""Where an executor listens that shares no folder with the server."""
_TCP = f"{PORT}/tcp"
SECRET = "secret"
WARM_PREFIX, PROBE_PREFIX = "warm-", "probe-"
"""Begin the names of folders that are no conversation's."""
INSTANCE = "openhands-sessions.instance"
CONVERSATION = "openhands-sessions.conversation"
TERM = "openhands-sessions.term"
SPEC_DIGEST = "openhands-sessions.recipe"
WARM = "openhands-sessions.warm"
"""Labels. TERM is the term of the owner who created the container; later owners use it, too. A warm container has WARM
instead of CONVERSATION and TERM, also after a conversation got it: labels cannot be changed."""

Network = Literal["none", "egress", "open"]
SANDBOX_USER = 10_001
"""The uid of the sandboxes of a server that runs as root; no user of the host has it."""
ContainerSpec = dict[str, Any]
"""The body of the request to create a container, as the engine's API has it, without name and labels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DockerSettings:
    """Sizes in bytes, times in seconds."""

    image: str = "openhands-sessions-python"
    pull: bool = True
    """Whether a missing image is fetched."""
    runtime: str | None = None
    """The engine's runtime, for example `runsc`; None for its own default."""
    user: int | None = None
    """The uid of the sandbox; None for the server's own, unless that is root."""
    network: Network = "egress"
    firewall_image: str = "openhands-sessions-base"
    """Has iptables, for `egress`."""
    memory: int = 2 << 30
    cpus: float = 2.0
    processes: int = 512
    open_files: int = 16_384
    file_size: int = 4 << 30
    temporary_size: int = 1 << 30
    workspace_size: int = 10 << 30
    """Of workspace, home and state together; measured every `look_every` seconds while the container runs."""
    look_every: float = 5.0
    warm: int = 0
    """How many containers run before a conversation needs them."""
    pause_after: float = 600.0
    """From the last use to the pause."""
    remove_after: float = 3_600.0
    """From the pause to the removal of the container."""
    keep_workspace: bool = True
    """Whether the workspace is kept when `remove_after` has passed."""
    answer_within: float = 10.0
    """How long an executor may take for an answer that needs no work; one that takes longer twice is killed."""
    command_timeout: float = 600.0
    output_head: int = 64 << 10
    output_tail: int = 64 << 10

    @property
    def owner(self) -> tuple[int, int]:
        """User and group of the sandbox's processes and folders. Never root."""
        if self.user is not None:
            return self.user, self.user
        return (os.geteuid(), os.getegid()) if os.geteuid() else (SANDBOX_USER, SANDBOX_USER)


@dataclass(frozen=True, kw_only=True, slots=True)
class MountSpec:
    """Mounts as the engine's API has them, the executor's path in the container, and its options. `published` is the
    address at which its port is published, None for an executor without one."""

    mounts: list[dict[str, Any]]
    executor: str
    options: Mapping[str, object] = field(default_factory=dict)
    published: str | None = None


def container_spec(settings: DockerSettings, mounts: MountSpec, network: str) -> ContainerSpec:
    user, group = settings.owner
    return {
        "Image": settings.image,
        "User": f"{user}:{group}",
        "Entrypoint": ["python3", "-I", "-S", mounts.executor],
        "Cmd": _command_line(settings, mounts),
        "Env": [f"HOME={HOME}", "USER=sandbox", "LOGNAME=sandbox", "LANG=C.UTF-8", "SHELL=/bin/bash"],
        "WorkingDir": WORKSPACE,
        "Hostname": "sandbox",
        "NetworkDisabled": network == "none",
        "HostConfig": {
            "Mounts": mounts.mounts,
            "NetworkMode": network,
            "Init": True,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "64k", "max-file": "1"}},
            **_restrictions(settings),
            **({} if mounts.published is None else {"PortBindings": {_TCP: [{"HostIp": mounts.published}]}}),
        },
        **({} if mounts.published is None else {"ExposedPorts": {_TCP: {}}}),
    }


def bind_mounts(paths: SandboxPaths, executor: Path) -> MountSpec:
    """Folders of this machine. The engine refuses these mounts where the source is missing; `Binds` would create it."""
    folders = ((paths.workspace, WORKSPACE), (paths.state, STATE), (paths.home, HOME))
    mounts: list[dict[str, Any]] = [
        *({"Type": "bind", "Source": str(source), "Target": target} for source, target in folders),
        {"Type": "bind", "Source": str(executor), "Target": EXECUTOR, "ReadOnly": True},
    ]
    return MountSpec(mounts=mounts, executor=EXECUTOR)


def spec_digest(spec: ContainerSpec) -> str:
    """Tells whether a container was created with the same spec."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def _command_line(settings: DockerSettings, mounts: MountSpec) -> list[str]:
    options = {
        "--socket": f"{STATE}/executor.sock",
        "--workspace": WORKSPACE,
        "--state": STATE,
        "--idle-timeout": 0,  # the server pauses and removes the container
        "--head": settings.output_head,
        "--tail": settings.output_tail,
        **mounts.options,
    }
    return [str(word) for option in options.items() for word in option]


def _restrictions(settings: DockerSettings) -> dict[str, Any]:
    """No seccomp profile is named, so the engine's default stays on."""
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
        "MemorySwap": settings.memory,  # memory plus swap: no swap
        "NanoCpus": int(settings.cpus * 1_000_000_000),
        "OomScoreAdj": 500,  # a sandbox is killed before the server
        "ShmSize": 64 << 20,
        "Ulimits": [_limit("nofile", settings.open_files), _limit("fsize", settings.file_size), _limit("core", 0)],
        **({} if settings.runtime is None else {"Runtime": settings.runtime}),
    }


def _limit(name: str, most: int) -> dict[str, Any]:
    return {"Name": name, "Soft": most, "Hard": most}
