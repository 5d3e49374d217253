"""Session files on the disk: written as a whole or not at all, for their owner only, encrypted where a key is given."""

import hashlib
import importlib
import os
from contextlib import suppress
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any

from openhands_sessions.core.errors import (
    BadInput,
    CorruptSession,
    NotFound,
    StorageUnavailable,
    TooLarge,
    UnsafeFormat,
)
from openhands_sessions.core.session_file import MOST_BYTES

SEALED = b"openhands-session sealed 1\n"
"""What an encrypted file begins with; a salt and a nonce follow."""
_SALT, _NONCE = 16, 12
_UNREADABLE = "cannot be decrypted: the key is another one, or the file was cut off or changed"


def write_session_file(path: Path, content: bytes, key: str | None) -> None:
    """Blocks. The file that was there stays beside it as `.bak`. Raises StorageUnavailable."""
    if key is not None:
        salt, nonce = token_bytes(_SALT), token_bytes(_NONCE)
        opening = SEALED + salt + nonce
        content = opening + _cipher(key, salt).encrypt(nonce, content, opening)
    beside = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(beside, content)
            _keep(path)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageUnavailable(f"the session file cannot be written: {error.strerror or error}") from error


def read_session_file(path: Path, key: str | None) -> bytes:
    """Blocks. Raises NotFound, TooLarge, UnsafeFormat where a key is needed, CorruptSession where it is another one,
    StorageUnavailable."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise NotFound("session file", path.name) from None
    except OSError as error:
        raise StorageUnavailable(f"the session file cannot be read: {error.strerror or error}") from error
    if len(content) > MOST_BYTES:
        raise TooLarge(f"a session file has at most {MOST_BYTES} bytes", MOST_BYTES)
    if not content.startswith(SEALED):
        if key is not None and SEALED.startswith(content[: len(SEALED)]):
            raise CorruptSession(_UNREADABLE, -1)
        return content
    if key is None:
        raise UnsafeFormat("the session file is encrypted: give the key that it was saved with")
    opening = content[: len(SEALED) + _SALT + _NONCE]
    salt, nonce = opening[len(SEALED) :][:_SALT], opening[len(SEALED) + _SALT :]
    try:
        opened: bytes = _cipher(key, salt).decrypt(nonce, content[len(opening) :], opening)
    except (importlib.import_module("cryptography.exceptions").InvalidTag, ValueError):
        raise CorruptSession(_UNREADABLE, -1) from None
    return opened


def _cipher(key: str, salt: bytes) -> Any:
    """AES-256 in GCM, whose key is derived slowly: it limits guessing of keys that people chose. Raises BadInput."""
    if not key:
        raise BadInput("key", "must not be empty")
    derived = hashlib.scrypt(key.encode("utf-8", "surrogatepass"), salt=salt, n=2**14, r=8, p=1, dklen=32)
    # 10 MB, imported only if it is used.
    return importlib.import_module("cryptography.hazmat.primitives.ciphers.aead").AESGCM(derived)


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _keep(path: Path) -> None:
    """Keep what was there as `.bak`, so that there is a whole file at each moment."""
    backup = path.with_name(f"{path.name}.bak")
    beside = path.with_name(f".{path.name}.{token_hex(8)}.bak")
    with suppress(FileNotFoundError):
        beside.hardlink_to(path)
        beside.replace(backup)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
