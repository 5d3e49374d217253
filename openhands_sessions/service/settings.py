"""Which settings a conversation is run with: the layers, where each comes from, and where keys are kept."""

import json
from collections.abc import Mapping, Sequence

from openhands_sessions.core.errors import NotFound
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, OwnerId, folder_name
from openhands_sessions.core.settings import SessionSettings, merge
from openhands_sessions.ports.files import FileStore

SECRET = "llm_api_key"


class SettingsBook:
    """`server` holds the operator's layers in order: server, LLM, agent."""

    def __init__(self, files: FileStore, server: Sequence[Mapping[str, Json]]) -> None:
        self._files = files
        self._server = tuple(server)

    async def merged(self, owner: OwnerId, request: Mapping[str, Json]) -> SessionSettings:
        """Server ← LLM ← agent ← the user's own ← the request. Raises BadInput for a wrong or unknown key."""
        return merge(*self._server, await self._load(_user_key(owner)), request)

    async def keep(self, sid: ConversationId, request: Mapping[str, Json]) -> None:
        """Keep the request's key in a file of its own, apart from the conversation's row."""
        if request.get(SECRET) is not None:
            await self._files.write(_secret_key(sid), json.dumps({SECRET: request[SECRET]}).encode())

    async def kept(self, sid: ConversationId, row: Mapping[str, Json]) -> dict[str, Json]:
        """The request's layer again, key and all."""
        return {**row, **await self._load(_secret_key(sid))}

    async def forget(self, sid: ConversationId) -> None:
        """Delete what `keep` wrote."""
        await self._files.delete(_secret_key(sid))

    async def _load(self, key: str) -> dict[str, Json]:
        try:
            content = json.loads(await self._files.read(key))
        except (NotFound, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def without_secret(request: Mapping[str, Json]) -> dict[str, Json]:
    """The request's layer as it may stand in the conversation's row."""
    return {name: value for name, value in request.items() if name != SECRET}


def _secret_key(sid: ConversationId) -> str:
    return f"conversations/{folder_name(sid)}/secrets.json"


def _user_key(owner: OwnerId) -> str:
    return f"users/{folder_name(ConversationId(owner))}/settings.json"
