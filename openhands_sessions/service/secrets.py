"""A user's custom secrets, and the tokens for git providers: kept and named, never shown."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

from openhands_sessions.core.custom_secrets import (
    MOST_SECRETS,
    SECRETS_TOTAL,
    check_description,
    check_name,
    check_value,
)
from openhands_sessions.core.errors import AlreadyExists, NotFound, TooLarge
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.ports.files import FileStore
from openhands_sessions.service.settings import load, user_file


class SecretsStore:
    """One file per user. Sessions that begin from now on have what is stored now; a value that is replaced reaches live
    ones too."""

    def __init__(self, files: FileStore, changed: Callable[[OwnerId], Awaitable[None]]) -> None:
        """`changed` is told whose value of a secret is another one."""
        self._files = files
        self._changed = changed
        self._storing = asyncio.Lock()

    async def names(self, owner: OwnerId) -> Sequence[tuple[str, str]]:
        """Name and description of each, in the order of their making."""
        return [(name, _text(secret, "description")) for name, secret in (await self._secrets(owner)).items()]

    async def add(self, owner: OwnerId, name: str, value: str, description: str) -> None:
        """Raises AlreadyExists, BadInput, TooLarge."""
        check_name(name)
        async with self._storing:
            secrets = await self._secrets(owner)
            if name in secrets:
                raise AlreadyExists(f"Secret {name} already exists")
            secrets[name] = {"value": check_value(value), "description": check_description(description)}
            await self._write(owner, secrets)

    async def rename(self, owner: OwnerId, old: str, name: str, description: str | None) -> None:
        """Give a secret another name or description; its value stays. Raises NotFound, AlreadyExists, BadInput."""
        check_name(name)
        async with self._storing:
            secrets = await self._secrets(owner)
            if old not in secrets:
                raise NotFound("secret", old[:128])
            if name != old and name in secrets:
                raise AlreadyExists(f"Secret {name} already exists")
            told = _text(secrets[old], "description") if description is None else check_description(description)
            changed: dict[str, Json] = {"value": _text(secrets[old], "value"), "description": told}
            renamed = {(name if each == old else each): secret for each, secret in secrets.items()}
            await self._write(owner, {**renamed, name: changed})

    async def replace(self, owner: OwnerId, name: str, value: str) -> None:
        """Give a secret another value, which live sessions use from their next command on. Raises NotFound, BadInput,
        TooLarge."""
        async with self._storing:
            secrets = await self._secrets(owner)
            if name not in secrets:
                raise NotFound("secret", name[:128])
            told = _text(secrets[name], "description")
            await self._write(owner, {**secrets, name: {"value": check_value(value), "description": told}})
        await self._changed(owner)

    async def delete(self, owner: OwnerId, name: str) -> None:
        """Raises NotFound."""
        async with self._storing:
            secrets = await self._secrets(owner)
            if secrets.pop(name, None) is None:
                raise NotFound("secret", name[:128])
            await self._write(owner, secrets)

    async def providers(self, owner: OwnerId) -> Mapping[str, str | None]:
        """The git providers with a token, and the host of each."""
        found = await load(self._files, user_file(owner, "providers"))
        return {name: _text(token, "host") or None for name, token in found.items()}

    async def add_tokens(self, owner: OwnerId, tokens: Mapping[str, Mapping[str, str | None]]) -> None:
        """Keep `token` and `host` of each provider; one without a new token keeps the one it has."""
        async with self._storing:
            kept = await load(self._files, user_file(owner, "providers"))
            for name, given in tokens.items():
                token = given.get("token") or _text(kept.get(name), "token")
                if token:
                    kept[name] = {"token": token, "host": given.get("host") or ""}
            await self._files.write(user_file(owner, "providers"), json.dumps(kept).encode())

    async def forget_tokens(self, owner: OwnerId) -> None:
        """Delete every provider's token."""
        async with self._storing:
            await self._files.delete(user_file(owner, "providers"))

    async def _secrets(self, owner: OwnerId) -> dict[str, Json]:
        return await load(self._files, user_file(owner, "secrets"))

    async def _write(self, owner: OwnerId, secrets: Mapping[str, Json]) -> None:
        total = sum(len((name + _text(secret, "value")).encode()) for name, secret in secrets.items())
        if len(secrets) > MOST_SECRETS or total > SECRETS_TOTAL:
            raise TooLarge(f"there may be {MOST_SECRETS} secrets, of {SECRETS_TOTAL} bytes together", SECRETS_TOTAL)
        await self._files.write(user_file(owner, "secrets"), json.dumps(secrets).encode())


def _text(secret: Json, name: str) -> str:
    found = secret.get(name) if isinstance(secret, dict) else None
    return found if isinstance(found, str) else ""
