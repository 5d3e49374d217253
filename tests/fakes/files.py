"""A FileStore over a dict."""

from collections.abc import AsyncIterator, Sequence

from openhands_sessions.adapters.files.local import PIECE_BYTES, parts_of
from openhands_sessions.core.errors import NotFound, PathRefused


class MemoryFiles:
    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    async def read(self, key: str) -> bytes:
        parts_of(key)
        if key not in self._files:
            raise NotFound("file", key)
        return self._files[key]

    async def write(self, key: str, content: bytes) -> None:
        parts = parts_of(key)
        above = {"/".join(parts[:n]) for n in range(1, len(parts))}
        if above & self._files.keys() or self._below(key):
            raise PathRefused("a folder has the file's key, or a file stands where a folder must be")
        self._files[key] = bytes(content)

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        content = await self.read(key)
        for start in range(0, len(content), PIECE_BYTES):
            yield content[start : start + PIECE_BYTES]

    async def list(self, prefix: str = "") -> Sequence[str]:
        if prefix:
            parts_of(prefix)
        return sorted(self._below(prefix) if prefix else self._files)

    async def delete(self, key: str) -> bool:
        parts_of(key)
        gone = [key] if key in self._files else self._below(key)
        for each in gone:
            del self._files[each]
        return bool(gone)

    def _below(self, folder: str) -> Sequence[str]:
        return [key for key in self._files if key.startswith(f"{folder}/")]
