"""One caller's workspaces in this process's sandboxes: files, changes, microagents."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from openhands_sessions.core.errors import BadInput, FileProblem, NotAccepting, NotText, PathRefused, TooLarge
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.microagents import Microagent
from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.access import Principal
from openhands_sessions.ports.memory import Memory
from openhands_sessions.ports.runtime import WORKSPACE, Runtime, Workspace
from openhands_sessions.ports.workspaces import FileChange, FileDiff, SkippedUpload, UploadLimits
from openhands_sessions.service import git
from openhands_sessions.service.session_service import SessionService

LARGEST_TEXT = 4 << 20
"""Bytes of a file that is shown as text."""
_LONGEST_NAME = 200
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?=[ .]|\Z)", re.IGNORECASE)
"""The executor changes the same names in a zip archive: it cannot be imported here."""


class LocalWorkspaces:
    """Sees the workspaces of one principal, and those that are shared with it."""

    def __init__(self, sessions: SessionService, memory: Memory, limits: UploadLimits, principal: Principal) -> None:
        self.limits = limits
        self._sessions = sessions
        self._memory = memory
        self._principal = principal

    async def list_files(self, sid: ConversationId, path: str = "") -> Sequence[str]:
        return await (await self._files(sid)).list(path)

    async def read_text(self, sid: ConversationId, path: str) -> str:
        return await text_of(await self._files(sid), path)

    async def upload(self, sid: ConversationId, name: str, chunks: AsyncIterator[bytes]) -> str | SkippedUpload:
        files = (await self._runtime(sid, Permission.WRITE)).files
        try:
            path = f"{WORKSPACE}/{upload_name(name)}"
            await files.receive(path, chunks, limit=self.limits.file_bytes)
        except (FileProblem, PathRefused) as error:
            return SkippedUpload(name, error.message)
        except TooLarge:
            return SkippedUpload(name, f"larger than {self.limits.file_bytes} bytes")
        except BadInput as error:
            if error.field != "name":
                raise
            return SkippedUpload(name, error.message)
        self._sessions.note(self._principal, "uploaded", sid, path=path)
        return path

    async def archive(self, sid: ConversationId, path: str = "") -> AsyncGenerator[bytes, None]:
        files = await self._files(sid)
        self._sessions.note(self._principal, "downloaded", sid, path=path)
        async with aclosing(files.archive(path)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def changes(self, sid: ConversationId) -> Sequence[FileChange]:
        return await git.changes(await self._runtime(sid))

    async def diff(self, sid: ConversationId, path: str) -> FileDiff:
        runtime = await self._runtime(sid)
        try:
            modified: str | None = await text_of(runtime.files, path)
        except FileProblem:
            modified = None
        return await git.diff(runtime, path, modified)

    async def microagents(self, sid: ConversationId) -> Sequence[Microagent]:
        return (await self._memory.recall(await self._files(sid))).microagents

    async def _files(self, sid: ConversationId) -> Workspace:
        return (await self._runtime(sid)).files

    async def _runtime(self, sid: ConversationId, needs: Permission = Permission.VIEW) -> Runtime:
        row = await self._sessions.row(self._principal, sid, needs)
        session = self._sessions.registry.find(sid)
        if session is None or session.state in (SessionState.CLOSING, SessionState.CLOSED):
            session = await self._sessions.session(row)
        await session.settled()
        if session.runtime is not None:
            return session.runtime
        raise session.problem or NotAccepting("the session is closing; ask again")


async def text_of(files: Workspace, path: str) -> str:
    """What a text file says. Raises NotText, TooLarge, PathRefused, FileProblem."""
    content = bytearray()
    async with aclosing(files.pieces(path)) as pieces:
        async for piece in pieces:
            content += piece
            if len(content) > LARGEST_TEXT:
                raise TooLarge(
                    f"the file is larger than {LARGEST_TEXT} bytes; download the folder instead", LARGEST_TEXT
                )
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise NotText("the file is no text") from None
    if "\0" in text:
        raise NotText("the file is no text")
    return text


def upload_name(sent: str) -> str:
    """The name that a file gets in the workspace: the last part of what was sent, nothing that steers a terminal, and
    nothing that another system reads as a path or a device. Raises BadInput where nothing is left."""
    last = re.split(r"[/\\]|\A[A-Za-z]:", sent)[-1].lstrip()
    kept = last.rstrip(". ")
    if not kept.strip():
        raise BadInput("name", "must be the name of a file")
    name = "".join(sign if sign.isprintable() and sign != ":" else "_" for sign in kept)
    name += "_" * len(last[len(kept) :].rstrip())
    if _DEVICE.match(name):
        name = "_" + name
    if len(name.encode("utf-8", "replace")) > _LONGEST_NAME:
        raise BadInput("name", f"must not be longer than {_LONGEST_NAME} bytes")
    return name
