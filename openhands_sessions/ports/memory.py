"""What is known before a conversation begins."""

from dataclasses import dataclass
from typing import Protocol

from openhands_sessions.core.microagents import Microagent
from openhands_sessions.ports.runtime import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class RecalledKnowledge:
    """What was found. `instructions` go to the agent word by word; empty where nothing was found. `microagents` are
    all files of knowledge, those that went into the instructions among them. `problems` name the files that were not
    understood, and say why, for people."""

    instructions: str = ""
    working_dir: str = "/workspace"
    microagents: tuple[Microagent, ...] = ()
    problems: tuple[str, ...] = ()


class Memory(Protocol):
    """Finds what may help with a session."""

    async def recall(self, files: Workspace) -> RecalledKnowledge:
        """Called once in each MemorySetup, and when somebody asks what is known. Must not raise for an empty workspace.
        Raises RuntimeFailure."""
