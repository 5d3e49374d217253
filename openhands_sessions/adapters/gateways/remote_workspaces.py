"""The workspaces on another server: files, changes, microagents."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import aiohttp

from openhands_sessions.adapters.gateways.reading import UnreadableMessage, read
from openhands_sessions.adapters.gateways.rest import RestClient
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.microagents import Microagent
from openhands_sessions.ports.workspaces import FileChange, FileDiff, SkippedUpload, UploadLimits
from openhands_sessions.protocol import routes
from openhands_sessions.protocol.workspaces import FileOut


class RemoteWorkspaces:
    """A Workspaces over REST. Every call raises Unreachable where the server does not answer; a refused path is
    BadInput there."""

    def __init__(self, rest: RestClient) -> None:
        self.limits = UploadLimits()
        """The defaults: a server with others refuses what is over them."""
        self._rest = rest

    async def list_files(self, sid: ConversationId, path: str = "") -> Sequence[str]:
        found = await self._rest.call(routes.LIST_FILES, sid, query={"path": path})
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise UnreadableMessage("a list of files")
        return found

    async def read_text(self, sid: ConversationId, path: str) -> str:
        return read(FileOut, await self._rest.call(routes.READ_FILE, sid, query={"file": path}), "a file").code

    async def upload(self, sid: ConversationId, name: str, chunks: AsyncIterator[bytes]) -> str | SkippedUpload:
        form = aiohttp.FormData()
        form.add_field("files", chunks, filename=name, content_type="application/octet-stream")
        match await self._rest.call(routes.UPLOAD_FILES, sid, body=form):
            case {"uploaded_files": [str(path)]}:
                return path
            case {"skipped_files": [{"name": str(skipped), "reason": str(reason)}]}:
                return SkippedUpload(skipped, reason)
            case _:
                raise UnreadableMessage("an upload's result")

    async def archive(self, sid: ConversationId, path: str = "") -> AsyncGenerator[bytes, None]:
        async with self._rest.answer(routes.ZIP_DIRECTORY, sid, query={"path": path}) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    async def changes(self, sid: ConversationId) -> Sequence[FileChange]:
        found = await self._rest.call(routes.GIT_CHANGES, sid)
        try:
            return [FileChange(str(each["path"]), str(each["status"]), each.get("old_path")) for each in found]
        except (TypeError, KeyError, AttributeError):
            raise UnreadableMessage("changes") from None

    async def diff(self, sid: ConversationId, path: str) -> FileDiff:
        match await self._rest.call(routes.GIT_DIFF, sid, query={"path": path}):
            case {"original": str(original), "modified": str(modified)}:
                return FileDiff(original, modified)
            case _:
                raise UnreadableMessage("a diff")

    async def microagents(self, sid: ConversationId) -> Sequence[Microagent]:
        match await self._rest.call(routes.LIST_MICROAGENTS, sid):
            case {"microagents": [*found]}:
                return [_microagent(each) for each in found]
            case _:
                raise UnreadableMessage("microagents")


def _microagent(wire: object) -> Microagent:
    match wire:
        case {
            "name": str(name),
            "type": "repo" | "knowledge" as kind,
            "content": str(content),
            "triggers": [*triggers],
        }:
            return Microagent(name=name, type=kind, content=content, triggers=tuple(str(each) for each in triggers))
        case _:
            raise UnreadableMessage("a microagent")
