"""Files of another store, encrypted where a key is given."""

import hashlib
import importlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Sequence
from typing import Any

from openhands_sessions.adapters.files.local import PIECE_BYTES
from openhands_sessions.core.errors import StorageUnavailable
from openhands_sessions.ports.files import FileStore

MARK = b"sealed:1:"
"""What an encrypted file begins with."""
_SALT = b"openhands-sessions/files"


class SealedFiles:
    """Encrypts new files with `key`, any text; files that were written in clear are still read. Without a key, files
    are written in clear and encrypted ones raise StorageUnavailable."""

    def __init__(self, files: FileStore, key: str | None) -> None:
        self._files = files
        self._cipher: Any = None
        if key is not None:
            # 10 MB, imported only if it is used.
            self._fernet = importlib.import_module("cryptography.fernet")
            self._cipher = self._fernet.Fernet(_derived(key))

    async def read(self, key: str) -> bytes:
        content = await self._files.read(key)
        if not content.startswith(MARK):
            return content
        if self._cipher is None:
            raise StorageUnavailable("a stored file is encrypted and server.encryption_key is not set")
        try:
            opened: bytes = self._cipher.decrypt(content[len(MARK) :])
            return opened
        except self._fernet.InvalidToken as error:
            raise StorageUnavailable("a stored file was encrypted with another server.encryption_key") from error

    async def write(self, key: str, content: bytes) -> None:
        await self._files.write(key, content if self._cipher is None else MARK + self._cipher.encrypt(content))

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        content = await self.read(key)
        for start in range(0, len(content), PIECE_BYTES):
            yield content[start : start + PIECE_BYTES]

    async def list(self, prefix: str = "") -> Sequence[str]:
        return await self._files.list(prefix)

    async def delete(self, key: str) -> bool:
        return await self._files.delete(key)


def _derived(key: str) -> bytes:
    """Slow on purpose, some 50 ms: it limits guessing of keys that people chose."""
    return urlsafe_b64encode(hashlib.scrypt(key.encode(), salt=_SALT, n=2**14, r=8, p=1, dklen=32))
