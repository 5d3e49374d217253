"""The data folder: opening it or a server in its place, its lock, and the commands `import` and `sandbox`."""

import asyncio
import fcntl
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from pydantic import SecretStr

from openhands_sessions.bootstrap import application as bootstrap
from openhands_sessions.bootstrap.backup import LOCK
from openhands_sessions.bootstrap.installation import open_importer
from openhands_sessions.cli.keys import key_for
from openhands_sessions.cli.output import clean, columns, print_json
from openhands_sessions.cli.settings import loaded
from openhands_sessions.config.config import Config
from openhands_sessions.core.errors import OwnedElsewhere, SessionsError
from openhands_sessions.ports.access import Access
from openhands_sessions.ports.sandboxes import SandboxInfo
from openhands_sessions.service.importing import ImportOutcome

INTERRUPTED = 128 + signal.SIGINT
MOST_PROBLEMS = 10
"""Problems of one conversation that are printed."""
OUTCOMES = {"imported": "imported", "continued": "continued", "there": "there already", "skipped": "skipped"}


class DataFolderLocked(SessionsError):
    """Another process holds the lock; `holder` describes it."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"another server runs on this data folder: {holder}")
        self.holder = holder


@asynccontextmanager
async def opened(config: Config, server: str | None) -> AsyncIterator[Access]:
    """The ports of `server`, or with None those of the data folder's user. Raises SessionsError."""
    if server is not None:
        with key_for(server, config) as key:
            async with bootstrap.remote(server, key) as access:
                yield access
        return
    async with application(config) as found:
        try:
            yield found.local
        except OwnedElsewhere as error:
            raise SessionsError("a server has this conversation open; act through it: --server ADDRESS") from error


@asynccontextmanager
async def application(
    config: Config, provider_keys: Mapping[str, SecretStr] = MappingProxyType({})
) -> AsyncIterator[bootstrap.Application]:
    """The whole application in this process; `provider_keys` as for `open_application`. Raises SessionsError, also for
    a data folder that cannot be used."""
    async with AsyncExitStack() as stack:
        with usable(config.data_dir):
            found = await stack.enter_async_context(bootstrap.open_application(config, provider_keys))
        yield found


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Turns an OSError of the block into a SessionsError that names the folder."""
    try:
        yield
    except OSError as error:
        problem = error.strerror or str(error)
        raise SessionsError(f"the data folder {folder} cannot be used: {problem}") from error


@contextmanager
def server_lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for the length of the block. Only `serve` takes it.

    It is a lock of the kernel, which ends with the process; the file's content is for people. Python opens files so
    that child processes do not inherit them. Raises DataFolderLocked, OSError.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderLocked(_holder(descriptor)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    pid, _, since = os.pread(descriptor, 100, 0).decode(errors="replace").strip().partition(" ")
    return f"process {pid}, since {since}" if pid and since else "a server that is just starting"


def import_folder(flags: Mapping[str, object], file: Path | None, folder: Path) -> int:
    """Import every conversation below `folder`, with a line for each. Raises ConfigError, SessionsError."""
    config = loaded(flags, file, quiet=True).config
    try:
        with usable(config.data_dir):
            counted = asyncio.run(_import_all(config, folder))
    except KeyboardInterrupt:
        print("error: stopped; import again to go on", file=sys.stderr)
        return INTERRUPTED
    print(", ".join(f"{counted[kind]} {words}" for kind, words in OUTCOMES.items()))
    return 0


def sandboxes(action: str, flags: Mapping[str, object], file: Path | None, *, as_json: bool) -> int:
    """Print every sandbox (`ls`), or those that were removed: the abandoned ones (`reap`) or all (`clear`)."""
    found = asyncio.run(_sandboxes(action, loaded(flags, file, quiet=True).config))
    if as_json:
        print_json([asdict(each) for each in found])
        return 0
    rows = [
        (each.name, each.status, "kept" if each.keep else "goes", each.conversation or "-", each.why) for each in found
    ]
    print(columns(("sandbox", "status", "", "conversation", "why"), rows))
    return 0


async def _import_all(config: Config, folder: Path) -> Counter[str]:
    counted: Counter[str] = Counter()
    total = 0

    def begin(places: int) -> None:
        nonlocal total
        total = places

    async with open_importer(config, folder) as importer:
        async for outcome in importer.run(begin):
            counted[outcome.kind] += 1
            print(_outcome_text(outcome, f"[{counted.total()}/{total}]"), flush=True)
    return counted


def _outcome_text(outcome: ImportOutcome, count: str) -> str:
    how = OUTCOMES[outcome.kind]
    if outcome.kind in ("imported", "continued"):
        how = f"{how}, {outcome.events} events"
    first = f"{count} {outcome.place}: {how} {outcome.title}".rstrip()
    more = len(outcome.problems) - MOST_PROBLEMS
    lines = [first, *(f"    {problem}" for problem in outcome.problems[:MOST_PROBLEMS])]
    return "\n".join([clean(line) for line in lines] + ([f"    and {more} more"] if more > 0 else []))


async def _sandboxes(action: str, config: Config) -> Sequence[SandboxInfo]:
    async with bootstrap.open_sandboxes(config) as sandboxes:
        match action:
            case "ls":
                return await sandboxes.survey()
            case "reap":
                return await sandboxes.reap()
            case _:
                return [replace(each, keep=False, why="removed") for each in await sandboxes.clear()]
