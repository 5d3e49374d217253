"""Small files that belong to users: settings, attachments, archives."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol


class FileStore(Protocol):
    """Files by key. A key is 1 to 8 parts joined by `/`, each of `[A-Za-z0-9._-]`, 1 to 128 characters, not beginning
    with a dot; anything else raises PathRefused. A key never holds an id that a user chose: use `folder_name`."""

    async def read(self, key: str) -> bytes:
        """The whole file. Raises NotFound."""

    async def write(self, key: str, content: bytes) -> None:
        """Replace the file atomically: readers see the old or the new one, also after a crash; mode 0600.
        Raises StorageUnavailable, and then the old one is still there; PathRefused where a folder has the key, or a
        file stands where a folder must be."""

    def stream(self, key: str) -> AsyncIterator[bytes]:
        """The file in pieces of at most 256 KiB. Raises NotFound."""

    async def list(self, prefix: str = "") -> Sequence[str]:
        """The keys below a folder, sorted; none for an unknown one."""

    async def delete(self, key: str) -> bool:
        """Delete a file, or a folder with all in it; False where there was none."""
