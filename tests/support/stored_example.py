"""Writes a database with every kind of row content, by the code as it is, as SQL: what later versions must migrate.

python -m tests.support.stored_example > tests/golden/store_v1.sql
"""

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from openhands_sessions.adapters.openhands_installation import OpenHandsFolder
from openhands_sessions.bootstrap.application import Application, open_application
from openhands_sessions.config.config import Config, RuntimeSection
from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.ids import LOCAL_OWNER, UNNUMBERED, ConversationId
from openhands_sessions.core.repository import Repository, repository
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.ports.installation import ForeignConversation, ForeignEvent, SkippedConversation
from openhands_sessions.service.importing import Importer
from tests.support.in_process_server import read, state
from tests.support.openhands_folder import Talk, finished, write
from tests.support.running_server import discard_sandboxes
from tests.support.store_entries import entries

IMPORTED, CUT_OFF = "ab" * 16, "cd" * 16
PIXEL = "data:image/png;base64,iVBORw0KGgo="
REPOSITORY = "plain-repository"


class CutOffInstallation(OpenHandsFolder):
    """Fails after its first batch of events."""

    async def events(self, theirs: ForeignConversation, after: int) -> AsyncIterator[Sequence[ForeignEvent]]:
        async for batch in super().events(theirs, after):
            yield batch
            raise OSError("the other folder is gone")


async def fill(folder: Path) -> None:
    """Make `folder`/data/sessions.db."""
    config = Config(data_dir=folder / "data", runtime=RuntimeSection(local_repositories=True))
    async with open_application(config) as house:
        await _open(house, "plain")
        await _say(house, "plain", "$ echo hello", "key-1")
        await _say(house, "plain", "hello again", "key-2")
        await house.local.conversations.rename(ConversationId("plain"), "A «plain» title 🎉")
        await _open(house, "message", initial_message="$ true", settings={"agent": "shell", "max_iterations": 7})
        await _open(house, "images", initial_message="what is this?", image_urls=(PIXEL,), title="Images")
        await _open(house, "replay", replay_json=await _trajectory(house, "plain"), title="Replay")
        checkout = repository(f"file://{folder / REPOSITORY}", branch="main")
        await _open(house, "checkout", checkout=checkout, title="Checkout", trigger="suggested_task")
        await _open(house, "empty-checkout", checkout=Repository(), title="Empty checkout", trigger="resolver")
        await _open(house, "deleted", initial_message="$ echo secret")
        await house.local.conversations.delete(ConversationId("deleted"))
        await _import(house, folder / "theirs")
        await _open(house, "held", title="Held")
    config = Config(data_dir=folder / "data")
    async with open_application(config) as house:
        log = house.store.log(ConversationId("held"))
        head = await log.head()
        term = await house.store.claim(ConversationId("held"))
        await log.append(entries(head + 1, head + 2), expected=head, term=term)
    await discard_sandboxes(config.data_dir)


async def _open(house: Application, name: str, **spec: Any) -> None:
    sid = ConversationId(name)
    await house.local.gateway.open(SessionSpec(id=sid, create=True, **spec))
    await read(house.local.gateway, sid, UNNUMBERED, state("awaiting_user_input"))


async def _say(house: Application, name: str, text: str, key: str) -> None:
    sid = ConversationId(name)
    accepted = await house.local.gateway.submit(sid, SendMessage(content=text), key=key)
    await read(house.local.gateway, sid, accepted.id, state("awaiting_user_input"))


async def _trajectory(house: Application, name: str) -> str:
    chunks = [chunk async for chunk in house.local.conversations.export(ConversationId(name))]
    return b"".join(chunks).decode()


async def _import(house: Application, theirs: Path) -> None:
    """One conversation whole, and one that the import was cut off in."""
    for sid in (IMPORTED, CUT_OFF):
        talk = Talk(sid)
        finished(talk)
        about: Mapping[str, Any] = {"selected_repository": "owner/name", "selected_branch": "dev"}
        write(theirs, talk, title="Imported", git_provider="gitlab", trigger="slack", **about)
    broken = CutOffInstallation(theirs)
    found = await broken.conversations()
    for installation, kept in ((OpenHandsFolder(theirs), IMPORTED), (broken, CUT_OFF)):
        importer = Importer(house.store, _Only(installation, found, kept), LOCAL_OWNER, None)
        try:
            async for _ in importer.run(lambda total: None):
                pass
        except OSError:
            continue


class _Only:
    """One conversation of an installation."""

    def __init__(
        self, whole: OpenHandsFolder, found: Sequence[ForeignConversation | SkippedConversation], sid: str
    ) -> None:
        self._found = [each for each in found if isinstance(each, ForeignConversation) and each.id == sid]
        self.metadata = whole.metadata
        self.newest = whole.newest
        self.events = whole.events

    async def conversations(self) -> Sequence[ForeignConversation | SkippedConversation]:
        return self._found


def dump(path: Path) -> str:
    """The database as SQL, its version and mark included."""
    with closing(sqlite3.connect(path)) as connection:
        pragmas = [
            f"PRAGMA {name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]};"
            for name in ("application_id", "user_version")
        ]
        return "\n".join([*connection.iterdump(), *pragmas, ""])


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="example-") as name:
        folder = Path(name)
        for words in (("init", "-qb", "main", "."), ("commit", "-qm", "Begin", "--allow-empty")):
            (folder / REPOSITORY).mkdir(exist_ok=True)
            author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
            subprocess.run(["git", *author, *words], cwd=folder / REPOSITORY, check=True, stdout=sys.stderr)
        asyncio.run(fill(folder))
        sys.stdout.write(dump(folder / "data" / "sessions.db"))


if __name__ == "__main__":
    main()
