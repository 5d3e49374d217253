"""Configuration to what imports the conversations of another installation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from openhands_sessions.adapters.openhands_installation import OpenHandsFolder
from openhands_sessions.bootstrap.kinds import open_store
from openhands_sessions.config.config import Config
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.service.importing import Importer


@asynccontextmanager
async def open_importer(config: Config, folder: Path) -> AsyncIterator[Importer]:
    """What takes another installation's conversations into the data folder. Raises BadInput for a kind of store that
    does not last, StorageError, OSError."""
    if config.store.kind == "memory":
        raise BadInput("store.kind", "must be one that lasts: what is imported into memory is gone at once")
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with open_store(config) as store:
        yield Importer(store, OpenHandsFolder(folder), LOCAL_OWNER, None)
