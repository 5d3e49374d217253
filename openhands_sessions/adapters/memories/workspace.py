"""Recalls what the workspace says about itself: `AGENTS.md` and the repository's own notes and knowledge."""

from openhands_sessions.adapters.memories.microagents import read_microagent
from openhands_sessions.core.errors import FileProblem, PathRefused
from openhands_sessions.core.microagents import Microagent
from openhands_sessions.ports.memory import RecalledKnowledge
from openhands_sessions.ports.runtime import Workspace

NOTES = ("AGENTS.md", ".openhands_instructions")
KNOWLEDGE = ".openhands/microagents"
LONGEST = 64 * 1024
"""Bytes of one file that are read; a longer one is passed over."""
MOST = 64
"""Files of knowledge that are read, the first by name."""


class WorkspaceMemory:
    """The memory."""

    async def recall(self, files: Workspace) -> RecalledKnowledge:
        told: list[str] = []
        for path in NOTES:
            if text := await _text(files, path):
                told.append(f"From {path}:\n{text}")
        microagents: list[Microagent] = []
        for name in await _names(files):
            path = f"{KNOWLEDGE}/{name}"
            microagent = read_microagent(name.removesuffix(".md"), await _text(files, path))
            if microagent is None:
                continue
            microagents.append(microagent)
            if microagent.type == "repo":
                told.append(f"From {path}:\n{microagent.content}")
        return RecalledKnowledge(instructions="\n\n".join(told), microagents=tuple(microagents))


async def _names(files: Workspace) -> list[str]:
    try:
        listed = await files.list(KNOWLEDGE)
    except (FileProblem, PathRefused):
        return []
    return [name for name in listed if name.endswith(".md") and name.lower() != "readme.md"][:MOST]


async def _text(files: Workspace, path: str) -> str:
    try:
        content = await files.read(path, limit=LONGEST)
    except (FileProblem, PathRefused):
        return ""
    return content.decode("utf-8", "replace").strip()
