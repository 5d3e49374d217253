"""What a sandbox in a container may use, and how long it is kept."""

import os
from dataclasses import dataclass
from typing import Literal

Network = Literal["none", "egress", "open"]
SANDBOX_USER = 10_001
"""Under which number sandboxes of a server that is root run: nobody's, outside of our images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DockerSettings:
    """Sizes in bytes, times in seconds."""

    image: str = "openhands-sessions-python"
    pull: bool = True
    """Whether an image that the engine does not have is fetched."""
    runtime: str | None = None
    """The engine's runtime, for example `runsc`; None for its own default."""
    user: int | None = None
    """None for the server's own user, where it is not root."""
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
    """Of all that it keeps on disk: workspace, home and records; looked at every `look_every` seconds while it runs."""
    look_every: float = 5.0
    warm: int = 0
    """How many run already and wait for a conversation."""
    pause_after: float = 600.0
    """From the last use to the pause."""
    remove_after: float = 3_600.0
    """From the pause to the container's end."""
    keep_workspace: bool = True
    """Whether the workspace outlives the container that `remove_after` ends."""
    answer_within: float = 10.0
    """How long an executor may take for what takes no work; one that takes longer, and then again, is ended."""
    command_timeout: float = 600.0
    output_head: int = 64 << 10
    output_tail: int = 64 << 10

    @property
    def owner(self) -> tuple[int, int]:
        """User and group of what runs in the sandbox, and of its folders. Never root's."""
        if self.user is not None:
            return self.user, self.user
        return (os.geteuid(), os.getegid()) if os.geteuid() else (SANDBOX_USER, SANDBOX_USER)
