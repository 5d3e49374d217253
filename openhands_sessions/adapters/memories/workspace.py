"""Recalls what the workspace says about itself: `AGENTS.md` and the repository's own notes."""

from openhands_sessions.core.errors import FileProblem, PathRefused
from openhands_sessions.ports.memory import Recollection
from openhands_sessions.ports.runtime import Workspace

NOTES = ("AGENTS.md", ".openhands_instructions", ".openhands/microagents/repo.md")
LONGEST = 64 * 1024
"""Bytes of one file that are read; a longer one is passed over."""


class WorkspaceMemory:
    """The memory."""

    async def recall(self, files: Workspace) -> Recollection:
        told: list[str] = []
        for path in NOTES:
            try:
                content = await files.read(path, limit=LONGEST)
            except (FileProblem, PathRefused):
                continue
            if text := content.decode("utf-8", "replace").strip():
                told.append(f"From {path}:\n{text}")
        return Recollection(instructions="\n\n".join(told))
