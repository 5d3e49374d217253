"""The table `docker` of the configuration."""

from typing import Literal

from pydantic import Field

from openhands_sessions.config.section import Section


class DockerSection(Section):
    address: str | None = Field(
        None, description="Address of the engine, `unix://…` or `tcp://…`; DOCKER_HOST or the usual place if not set."
    )
    image: str = Field(
        "openhands-sessions-python", description="Image of the sandboxes; it needs Python 3.8 or newer, and bash."
    )
    pull: bool = Field(True, description="Pull an image that the engine does not have.")
    runtime: str | None = Field(None, description="The engine's runtime, for example `runsc`; its default if not set.")
    user: int | None = Field(
        None,
        ge=1,
        le=2**31,
        description="Uid in the sandbox; if not set, that of the server, or 10001 if the server is root.",
    )
    network: Literal["egress", "none", "open"] = Field(
        "egress", description="`egress`: public addresses only; `none`: no network; `open`: all that the host reaches."
    )
    firewall_image: str = Field("openhands-sessions-base", description="Image with iptables, which sets up `egress`.")
    memory_mb: int = Field(2_048, ge=64, description="Memory of a sandbox in MiB, files in its /tmp included.")
    cpus: float = Field(2.0, gt=0, description="Processors that a sandbox may use.")
    processes: int = Field(512, ge=16, description="Most processes and threads of a sandbox.")
    open_files: int = Field(16_384, ge=256, description="Most open files of each process of a sandbox.")
    file_mb: int = Field(4_096, ge=1, description="Largest file that a sandbox may write, in MiB.")
    temporary_mb: int = Field(1_024, ge=16, description="Size of a sandbox's /tmp, in MiB.")
    workspace_mb: int = Field(
        10_240, ge=1, description="Most disk space of a sandbox (workspace, home and records), in MiB."
    )
    warm: int = Field(1, ge=0, le=100, description="Sandboxes that are started in advance, for new conversations.")
    pause_after: float = Field(600.0, gt=0, description="Seconds until an unused sandbox is paused.")
    remove_after: float = Field(
        3_600.0, gt=0, description="Seconds until the container of a paused sandbox is removed."
    )
    keep_workspace: bool = Field(True, description="Keep the workspace when the container is removed.")
