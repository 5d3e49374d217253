"""What answers of tools hold besides text: images for a model that looks at them, otherwise files in the workspace."""

import base64
import hashlib
import mimetypes
from collections.abc import Callable, Sequence

from openhands_sessions.core.errors import RuntimeFailure
from openhands_sessions.core.events.event import Observation
from openhands_sessions.core.events.observations import McpObservation
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.images import picture_kind
from openhands_sessions.ports.mcp import McpFile
from openhands_sessions.ports.runtime import Workspace

FOLDER = "mcp_files"
MOST_SHOWN = 5_000_000
"""Characters of the data of one observation's images, which are stored with it and sent to the model each time."""
MOST_FILES = 20
"""Attachments of one answer that are kept."""
_DIGITS = 16
_ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp"}
"""The system's table does not know all of them."""


class Attachments:
    """Puts the attachments of answers where the agent finds them. `vision`: whether its model looks
    at images, asked each time."""

    def __init__(self, workspace: Workspace, *, vision: Callable[[], bool]) -> None:
        self._workspace = workspace
        self._vision = vision

    async def attach(self, observation: Observation, files: Sequence[McpFile], tool: str) -> Observation:
        """The observation with its images, and with a line about each attachment."""
        images: list[str] = []
        room = MOST_SHOWN if self._vision() and isinstance(observation, McpObservation) else 0
        told = []
        for number, file in enumerate(files[:MOST_FILES], 1):
            url = _data_url(file)
            if url is not None and len(url) <= room:
                room -= len(url)
                images.append(url)
                told.append(f"[attachment {number} is shown as an image: {_about(file)}]")
            else:
                told.append(f"[attachment {number} {await self._stored(file, tool)}: {_about(file)}]")
        if len(files) > MOST_FILES:
            told.append(f"[{len(files) - MOST_FILES} more attachments are left out]")
        content = "\n".join([observation.content, *told])
        if images:
            return evolve(observation, content=content, image_urls=tuple(images))
        return evolve(observation, content=content)

    async def _stored(self, file: McpFile, tool: str) -> str:
        """Named by its content: the same one is the same file, also in a replay."""
        digest = hashlib.sha256(file.content).hexdigest()[:_DIGITS]
        path = f"{FOLDER}/{tool}-{digest}{_ending(file)}"
        try:
            await self._workspace.write(path, file.content)
        except RuntimeFailure as error:
            return f"is left out, it could not be stored ({error.message})"
        return f"is the file {path} in the workspace"


def _data_url(file: McpFile) -> str | None:
    """For a picture that models take."""
    kind = picture_kind(file.content)
    return None if kind is None else f"data:{kind};base64,{base64.b64encode(file.content).decode()}"


def _ending(file: McpFile) -> str:
    kind = picture_kind(file.content) or file.kind.partition(";")[0].strip().lower()
    return _ENDINGS.get(kind) or mimetypes.guess_extension(kind) or ".bin"


def _about(file: McpFile) -> str:
    return f"{picture_kind(file.content) or file.kind}, {len(file.content)} bytes"
