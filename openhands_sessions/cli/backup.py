"""`backup` and `restore`: everything that a server keeps."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from openhands_sessions.bootstrap import backup as bootstrap
from openhands_sessions.cli.data_folder import INTERRUPTED, server_lock, usable
from openhands_sessions.cli.output import clean, counted
from openhands_sessions.cli.settings import loaded

MOST_LEFT_OUT = 20
"""Paths that could not be copied and are printed."""


def back_up(flags: Mapping[str, object], file: Path | None, folder: Path) -> int:
    """Copy everything into a new folder. Raises ConfigError, SessionsError."""
    config = loaded(flags, file, quiet=True).config
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is half done is removed then, too
    try:
        made = bootstrap.back_up(config, folder.expanduser().absolute())
    except KeyboardInterrupt:
        print("error: stopped; nothing of the backup is left", file=sys.stderr)
        return INTERRUPTED
    _tell(made, f"{folder} holds")
    print("not in it: the configuration and server.encryption_key; keep them elsewhere")
    if config.runtime.kind == "docker":
        print("not in it: workspaces that are volumes of an engine on another machine")
    return 0


def restore(flags: Mapping[str, object], file: Path | None, folder: Path, *, replace: bool) -> int:
    """Put a backup into the data folder. Raises ConfigError, DataFolderLocked while a server runs, SessionsError."""
    config = loaded(flags, file, quiet=True).config
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with usable(config.data_dir), server_lock(config.data_dir):
            made, aside = bootstrap.restore(config, folder.expanduser().absolute(), replace=replace)
    except KeyboardInterrupt:
        print("error: stopped; nothing was restored", file=sys.stderr)
        return INTERRUPTED
    _tell(made, "restored:")
    for path in aside:
        print(f"what was there is kept as {path}")
    return 0


def _tell(made: bootstrap.Backup, what: str) -> None:
    counts, copied = made.counts, made.copied
    held = f"{counted(counts.conversations, 'conversation')} with {counted(counts.events, 'event')}"
    print(f"{what} {held}, and {counted(copied.files, 'file')} ({copied.size / 1e6:.1f} MB)")
    for path, why in copied.left_out[:MOST_LEFT_OUT]:
        print(f"left out: {clean(path)}: {why}", file=sys.stderr)
    if (more := len(copied.left_out) - MOST_LEFT_OUT) > 0:
        print(f"left out: {more} more", file=sys.stderr)
