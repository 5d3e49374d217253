"""What is known before a conversation begins."""

from dataclasses import dataclass
from typing import Protocol

from openhands_sessions.ports.runtime import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class Recollection:
    """What was found. `instructions` go to the agent word by word; empty where nothing was found."""

    instructions: str = ""
    repository: str = ""
    working_dir: str = "/workspace"


class Memory(Protocol):
    """Finds what may help with a session."""

    async def recall(self, files: Workspace) -> Recollection:
        """Called once in MemorySetup. Must not raise for an empty workspace. Raises RuntimeFailure."""
