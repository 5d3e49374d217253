"""Which settings a conversation is run with: the layers, where each comes from, and where keys are kept."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

from openhands_sessions.core.confirmation_rules import MOST_RULES, ConfirmationRule
from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, OwnerId, folder_name
from openhands_sessions.core.json_limits import check_nesting
from openhands_sessions.core.layered_settings import LayeredSettings
from openhands_sessions.core.settings import SessionSettings, merge, one_reach
from openhands_sessions.core.user_settings import UserSettings, changed, completed, layer, stored
from openhands_sessions.ports.access import ShownSettings
from openhands_sessions.ports.files import FileStore

SECRETS = ("llm_api_key", "custom_secrets", "mcp_config")


class SettingsStore:
    """`server` holds the operator's layers in order: server, LLM, agent."""

    def __init__(self, files: FileStore, server: Sequence[Mapping[str, Json]]) -> None:
        self.files = files
        """Also those that others keep of a conversation."""
        self._files = files
        self._server = tuple(server)
        self._storing = asyncio.Lock()
        self.changed: Callable[[OwnerId], Awaitable[None]] | None = None
        """Told who has stored settings."""

    async def merged(self, owner: OwnerId, request: Mapping[str, Json]) -> SessionSettings:
        """Server ← LLM ← agent ← the user's own ← the request. Raises BadInput for a wrong or unknown key."""
        return (await self.layered(owner, request)).settings()

    async def layered(self, owner: OwnerId, request: Mapping[str, Json]) -> LayeredSettings:
        """The layers of `merged`, as they are now."""
        own = await self._users(owner)
        users = {} if own is None else layer(own)
        if secrets := await load(self._files, user_file(owner, "secrets")):
            users["custom_secrets"] = secrets
        return LayeredSettings(self._server, (users, request))

    async def shown(self, owner: OwnerId) -> ShownSettings | None:
        own, operators = await self._users(owner), merge(*self._server)
        if own is None and operators.llm_model is None:
            return None
        # Nothing is sent to anybody, so a new user is not asked whether it may be.
        settings = UserSettings(user_consents_to_analytics=False) if own is None else own
        merged = merge(*self._server, layer(settings))
        operators_key = operators.llm_model is not None and one_reach(merged, operators)
        return ShownSettings(completed(settings, operators), operators_key)

    async def store(self, owner: OwnerId, given: Mapping[str, Json]) -> UserSettings:
        """Take in what a user has sent, see `changed`. Raises BadInput, and then nothing is stored."""
        async with self._storing:
            settings = changed(await self._users(owner), given, merge(*self._server))
            merge(layer(settings))
            await self._write(owner, settings)
        if self.changed is not None:
            await self.changed(owner)
        return settings

    async def remember(self, owner: OwnerId, rules: Sequence[ConfirmationRule]) -> None:
        """Put rules before those that the user has, but for rules that are there already. Raises BadInput where the
        user has too many."""
        async with self._storing:
            settings = await self._users(owner) or UserSettings()
            before = settings.confirmation_rules or ()
            now = (*(rule for rule in rules if rule not in before), *before)
            if len(now) > MOST_RULES:
                raise BadInput("always", f"is not possible for you: you have {MOST_RULES} rules, remove some")
            await self._write(owner, settings.model_copy(update={"confirmation_rules": now}))

    async def keep(self, sid: ConversationId, secret: bytes | None) -> None:
        """Keep what `secret_of` took of a request in a file of its own, apart from the conversation's row."""
        if secret is not None:
            await self._files.write(f"{conversation_folder(sid)}/secrets.json", secret)

    async def kept(self, sid: ConversationId, row: Mapping[str, Json]) -> dict[str, Json]:
        """The request's layer again, key and all."""
        return {**row, **await load(self._files, f"{conversation_folder(sid)}/secrets.json")}

    async def forget(self, sid: ConversationId) -> None:
        """Delete what is kept of a conversation, also by others."""
        await self._files.delete(conversation_folder(sid))

    async def _write(self, owner: OwnerId, settings: UserSettings) -> None:
        await self._files.write(user_file(owner, "settings"), json.dumps(settings.model_dump()).encode())

    async def _users(self, owner: OwnerId) -> UserSettings | None:
        """What the user has stored; None before the first time, or where the file is damaged."""
        content = await load(self._files, user_file(owner, "settings"))
        return stored(content) if content else None


async def load(files: FileStore, key: str) -> dict[str, Json]:
    """A file's object; empty where there is none, or a damaged one."""
    try:
        content = json.loads(await files.read(key))
    except (NotFound, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def secret_of(request: Mapping[str, Json]) -> bytes | None:
    """The request's key and secrets as they are kept, None where it has none. Raises BadInput for a request that
    cannot be kept."""
    check_nesting(dict(request), "settings")
    kept = {name: request[name] for name in SECRETS if request.get(name) is not None}
    return json.dumps(kept).encode() if kept else None


def without_secret(request: Mapping[str, Json]) -> dict[str, Json]:
    """The request's layer as it may stand in the conversation's row."""
    return {name: value for name, value in request.items() if name not in SECRETS}


def user_file(owner: OwnerId, name: str) -> str:
    """Where a user's `settings` are, the custom `secrets`, the tokens of git `providers`, or something in a folder."""
    return f"users/{folder_name(ConversationId(owner))}/{name}.json"


def conversation_folder(sid: ConversationId) -> str:
    """Where a conversation's files are, but for its log and its workspace."""
    return f"conversations/{folder_name(sid)}"
