"""The conversations that another server keeps: lists, exports, deletion."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from openhands_sessions.adapters.gateways.reading import UnreadableMessage, info_of, read, stored_of
from openhands_sessions.adapters.gateways.remote_list import RemoteList
from openhands_sessions.adapters.gateways.rest import RestClient
from openhands_sessions.core.errors import Forbidden, NotFound
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.history_changes import HistoryChange, read_change
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.conversations import (
    ANY_CONVERSATION,
    ConversationFilter,
    ConversationPage,
    DialogueDiff,
    DialogueHistory,
    EventRange,
    FollowedList,
    ForkSpec,
)
from openhands_sessions.protocol import parameters, routes
from openhands_sessions.protocol.conversations import FilterIn, RenameIn
from openhands_sessions.protocol.forks import DiffHistoryOut, ForkIn
from openhands_sessions.protocol.history_answers import HistoryOut
from openhands_sessions.protocol.lists import ReadIn, ReadOut

LARGEST_PAGE: int = parameters.LIMIT.schema["maximum"]
"""Most conversations, and most events, that a server lists at once."""
_OPENING = b'{"trajectory":'


class RemoteConversations:
    """A Conversations over REST. Every call raises Unreachable where the server does not answer."""

    def __init__(self, rest: RestClient, new_list: Callable[[], RemoteList]) -> None:
        self._rest = rest
        self._new_list = new_list

    async def check(self, sid: ConversationId, needs: Permission = Permission.VIEW) -> None:
        wire = await self._rest.call(routes.DESCRIBE_CONVERSATION, sid)
        if wire is None:
            raise NotFound("conversation", sid)
        if not info_of(wire).permission.covers(needs):
            raise Forbidden(f"you may not do this with the conversation: it needs the permission to {needs} it")

    async def page(
        self,
        *,
        limit: int,
        page_id: str | None = None,
        matching: ConversationFilter = ANY_CONVERSATION,
        count: bool = False,
    ) -> ConversationPage:
        """A server gives at most LARGEST_PAGE at once."""
        asked = {
            "limit": min(limit, LARGEST_PAGE),
            "page_id": page_id,
            "selected_repository": matching.repository,
            "conversation_trigger": matching.trigger,
            "search": matching.search,
            "id_prefix": matching.id_prefix,
            "count": "true" if count else None,
        }
        query: dict[str, str | int] = {name: value for name, value in asked.items() if value is not None}
        match await self._rest.call(routes.LIST_CONVERSATIONS, query=query):
            case {"results": [*results], "next_page_id": next_page, "total": int(total)}:
                return ConversationPage([info_of(wire) for wire in results], next_page, total)
            case {"results": [*results], "next_page_id": next_page}:
                return ConversationPage([info_of(wire) for wire in results], next_page)
            case _:
                raise UnreadableMessage("a list")

    async def rename(self, sid: ConversationId, title: str) -> str:
        await self._rest.call(routes.RENAME_CONVERSATION, sid, body=RenameIn.model_construct(title=title))
        return title.strip()

    async def mark_read(self, sid: ConversationId, event: EventId) -> EventId:
        # The server validates it, and its refusal names the field.
        wire = await self._rest.call(routes.MARK_READ, sid, body=ReadIn.model_construct(event_id=event))
        return EventId(read(ReadOut, wire, "a read mark").event_id)

    @asynccontextmanager
    async def follow_list(self) -> AsyncIterator[FollowedList]:
        followed = self._new_list()
        try:
            await followed.open()
            yield followed
        finally:
            await followed.close()

    async def delete(self, sid: ConversationId) -> bool:
        deleted: Any = await self._rest.call(routes.DELETE_CONVERSATION, sid)
        return deleted is True

    async def events(self, sid: ConversationId, wanted: EventRange) -> tuple[Sequence[Stored], bool]:
        query: dict[str, str | int] = {"start_id": wanted.start, "limit": min(wanted.limit, LARGEST_PAGE)}
        if wanted.end is not None:
            query["end_id"] = wanted.end
        if wanted.reverse:
            query["reverse"] = "true"
        if wanted.matching is not None:
            query["filter"] = FilterIn.of(wanted.matching).model_dump_json(exclude_defaults=True)
        match await self._rest.call(routes.READ_EVENTS, sid, query=query):
            case {"events": [*events], "has_more": bool(more)}:
                return [stored_of(wire) for wire in events], more
            case _:
                raise UnreadableMessage("events")

    async def history(self, sid: ConversationId, *, limit: int, before: EventId | None = None) -> DialogueHistory:
        """A server gives at most LARGEST_PAGE turns at once."""
        query = {"limit": min(limit, LARGEST_PAGE), **({} if before is None else {"before": int(before)})}
        wire = await self._rest.call(routes.READ_HISTORY, sid, query=query)
        return read(HistoryOut, wire, "a history").history()

    async def history_change(self, sid: ConversationId, event: EventId) -> HistoryChange:
        async def read(start: EventId, limit: int) -> Sequence[Stored]:
            found, _ = await self.events(sid, EventRange(start=start, limit=limit))
            return found

        return await read_change(read, event)

    async def diff(
        self, sid: ConversationId, other: ConversationId | None = None, branch: str | None = None
    ) -> DialogueDiff:
        asked = {"conversation": other, "branch": branch}
        query: dict[str, str | int] = {name: value for name, value in asked.items() if value is not None}
        wire = await self._rest.call(routes.DIFF_HISTORY, sid, query=query)
        return read(DiffHistoryOut, wire, "a comparison").diff()

    async def fork(self, sid: ConversationId, spec: ForkSpec) -> None:
        # The server validates it, and its refusal names the field.
        asked = ForkIn.model_construct(
            {
                "conversation_id",
                *(name for name in ("event", "checkpoint", "title") if getattr(spec, name) is not None),
            },
            conversation_id=spec.id,
            event=spec.event,
            checkpoint=spec.checkpoint,
            title=spec.title,
        )
        await self._rest.call(routes.FORK_CONVERSATION, sid, body=asked)

    async def remember_prompt(self, sid: ConversationId, event: int) -> str:
        match await self._rest.call(routes.REMEMBER_PROMPT, sid, query={"event_id": event}):
            case {"prompt": str(prompt)}:
                return prompt
            case _:
                raise UnreadableMessage("a prompt")

    async def export(self, sid: ConversationId) -> AsyncIterator[bytes]:
        """The export, in chunks as they come. Raises NotFound."""
        async with self._rest.answer(routes.EXPORT, sid) as response:
            held = b""
            opened = False
            async for chunk in response.content.iter_any():
                held += chunk
                if not opened:
                    if len(held) <= len(_OPENING):
                        continue
                    if not held.startswith(_OPENING):
                        raise UnreadableMessage("an export")
                    opened = True
                yield held[:-1]
                held = held[-1:]  # the last byte of all closes the object
            if held != b"}" or not opened:
                raise UnreadableMessage("an export")
            yield held
