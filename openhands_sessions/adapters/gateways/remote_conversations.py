"""The conversations that another server keeps: lists, exports, deletion."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from openhands_sessions.adapters.gateways.rest import RestClient
from openhands_sessions.adapters.gateways.wire import UnreadableMessage, info_of
from openhands_sessions.core.errors import NotFound
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.gateway import SessionInfo

PAGE = 100
"""Most conversations that a server lists at once."""
_OPENING = b'{"trajectory":'


class RemoteConversations:
    """Over REST. Every call raises Unreachable where the server does not answer."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    async def page(self, limit: int, page_id: str | None) -> tuple[Sequence[SessionInfo], str | None]:
        """Up to `limit` conversations, newest first, and where the next page begins."""
        query: dict[str, str | int] = {"limit": min(limit, PAGE)}
        if page_id is not None:
            query["page_id"] = page_id
        match await self._rest.call("GET", "/api/conversations", query=query):
            case {"results": [*results], "next_page_id": next_page}:
                return [info_of(wire) for wire in results], next_page
            case _:
                raise UnreadableMessage("a list")

    async def describe(self, sid: ConversationId) -> SessionInfo:
        """Raises NotFound."""
        wire = await self._rest.call("GET", f"/api/conversations/{sid}")
        if wire is None:
            raise NotFound("conversation", sid)
        return info_of(wire)

    async def rename(self, sid: ConversationId, title: str) -> None:
        """Raises NotFound, BadInput."""
        await self._rest.call("PATCH", f"/api/conversations/{sid}", body={"title": title})

    async def delete(self, sid: ConversationId) -> bool:
        """False where there was none."""
        deleted: Any = await self._rest.call("DELETE", f"/api/conversations/{sid}")
        return deleted is True

    async def export(self, sid: ConversationId) -> AsyncIterator[bytes]:
        """The trajectory, a JSON list, in pieces as they come. Raises NotFound."""
        async with self._rest.answer("GET", f"/api/conversations/{sid}/trajectory") as response:
            held = b""
            opened = False
            async for piece in response.content.iter_any():
                held += piece
                if not opened:
                    if len(held) <= len(_OPENING):
                        continue
                    if not held.startswith(_OPENING):
                        raise UnreadableMessage("an export")
                    held, opened = held[len(_OPENING) :], True
                yield held[:-1]
                held = held[-1:]  # the last byte of all closes the object around the list
            if held != b"}":
                raise UnreadableMessage("an export")
