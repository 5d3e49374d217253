"""A conversation's files, as people look at them, send them and take them along."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from openhands_sessions.core.errors import BadInput, FileProblem, NotAccepting, NotText, PathRefused, TooLarge
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.ports.runtime import WORKSPACE, Runtime, Workspace
from openhands_sessions.service.local_gateway import LocalGateway

LARGEST_TEXT = 4 << 20
"""Bytes of a file that is shown as text."""
_LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadLimits:
    """How much one upload may bring: bytes of each file, and files."""

    file_bytes: int = 100 << 20
    files: int = 100


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was sent and not taken, and why, for people."""

    name: str
    reason: str


class Files:
    """Files by conversation. A stopped conversation's session is revived for them."""

    def __init__(self, gateway: LocalGateway, limits: UploadLimits) -> None:
        self.limits = limits
        self._gateway = gateway

    async def workspace(self, owner: OwnerId, sid: ConversationId) -> Workspace:
        """Raises NotFound, AtCapacity, and whatever the session cannot be set up for."""
        return (await self.runtime(owner, sid)).files

    async def runtime(self, owner: OwnerId, sid: ConversationId) -> Runtime:
        """The sandbox, as `workspace`."""
        session = self._gateway.live(sid)
        if session is None or session.state in (SessionState.CLOSING, SessionState.CLOSED):
            await self._gateway.open(SessionSpec(id=sid, owner=owner))
            session = self._gateway.live(sid)
        if session is not None:
            await session.settled()
            if session.runtime is not None:
                return session.runtime
        raise (None if session is None else session.problem) or NotAccepting("the session is closing; ask again")

    async def take(self, files: Workspace, name: str, pieces: AsyncIterator[bytes]) -> str | Skipped:
        """Put a file that was sent into the workspace, replacing one of that name; where it lies then."""
        try:
            path = f"{WORKSPACE}/{upload_name(name)}"
            await files.receive(path, pieces, limit=self.limits.file_bytes)
        except (FileProblem, PathRefused) as error:
            return Skipped(name, error.message)
        except TooLarge:
            return Skipped(name, f"larger than {self.limits.file_bytes} bytes")
        except BadInput as error:
            if error.field != "name":
                raise
            return Skipped(name, error.message)
        return path


async def text_of(files: Workspace, path: str) -> str:
    """What a text file says. Raises NotText, TooLarge, PathRefused, FileProblem."""
    content = bytearray()
    async with aclosing(files.pieces(path)) as pieces:
        async for piece in pieces:
            content += piece
            if len(content) > LARGEST_TEXT:
                raise TooLarge(f"the file is larger than {LARGEST_TEXT} bytes; download the folder instead")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise NotText("the file is no text") from None
    if "\0" in text:
        raise NotText("the file is no text")
    return text


def upload_name(sent: str) -> str:
    """The name that a file gets in the workspace: the last part of what was sent, and nothing that steers a terminal.
    Raises BadInput where nothing is left."""
    last = sent.replace("\\", "/").rpartition("/")[2].strip()
    name = "".join(sign if sign.isprintable() else "_" for sign in last)
    if name in ("", ".", ".."):
        raise BadInput("name", "must be the name of a file")
    if len(name.encode("utf-8", "replace")) > _LONGEST_NAME:
        raise BadInput("name", f"must not be longer than {_LONGEST_NAME} bytes")
    return name
