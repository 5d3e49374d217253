"""The session key that a server without a configured one makes for itself, and how programs find the key of a server.

`find_key` is for programs outside of this package too.
"""

import fcntl
import os
import secrets
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from platformdirs import user_data_path

from openhands_sessions.config.errors import ConfigError

FILE = "session_api_key"
"""The key's file, in the data folder."""
LINK_FILE = "link_key"
"""The file of the key that signs the tokens of links, in the data folder."""
VARIABLES = ("OHS_SESSION_API_KEY", "OHS_SERVER__SESSION_API_KEY")
"""Both set `server.session_api_key`; the first one counts where both are given."""


def default_data_dir() -> Path:
    return user_data_path("openhands-sessions")


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def find_key(url: str, given: str | None = None, data_dir: Path | None = None) -> str | None:
    """The key for the server at `url`; None where there is none.

    The first of: `given`; OHS_SESSION_API_KEY; OHS_SERVER__SESSION_API_KEY; where the address is loopback, the key
    that a server has made in `data_dir` (without it: OHS_DATA_DIR, or the usual data folder). An empty `given` or
    variable says that the server needs no key. Raises ConfigError for a file that cannot be used.
    """
    named = next((text for text in (given, *map(os.environ.get, VARIABLES)) if text is not None), None)
    if named is not None:
        return named or None
    if not _leads_to_loopback(url):
        return None
    return read_key(data_dir or Path(os.environ.get("OHS_DATA_DIR") or default_data_dir()).expanduser())


def read_key(data_dir: Path, name: str = FILE) -> str | None:
    """The key in the folder's file; None where there is no file. Raises ConfigError."""
    file = data_dir / name
    try:
        text = file.read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(str(file), f"the key cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable():
        raise ConfigError(str(file), "holds no key; remove the file, and the next start of the server makes a new key")
    return text


def make_key(data_dir: Path, name: str = FILE) -> str:
    """The key in the folder's file, made where there is none: processes that start at once get the same one. Raises
    ConfigError, OSError."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = os.open(data_dir, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        key = read_key(data_dir, name)
        if key is None:
            key = secrets.token_urlsafe(32)
            _write(data_dir / name, key)
            os.fsync(folder)
        return key
    finally:
        os.close(folder)


def _write(file: Path, key: str) -> None:
    """Whole or not at all, and never readable for others."""
    unfinished = file.with_name(f".{file.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(f"{key}\n")
        out.flush()
        os.fsync(descriptor)
    unfinished.replace(file)


def _leads_to_loopback(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url if "://" in url else f"//{url}").hostname or "")
    except ValueError:
        return False
