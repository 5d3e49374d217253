"""`import`: the conversations of another installation, taken into the data folder."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from openhands_sessions import bootstrap
from openhands_sessions.cli.screen import clean
from openhands_sessions.cli.settings import loaded
from openhands_sessions.config.config import Config
from openhands_sessions.core.errors import SessionsError
from openhands_sessions.service.importing import ImportOutcome

INTERRUPTED = 128 + signal.SIGINT
MOST_PROBLEMS = 10
"""Problems of one conversation that are printed."""
SAID = {"imported": "imported", "continued": "continued", "there": "there already", "skipped": "skipped"}


def run(flags: Mapping[str, object], file: Path | None, folder: Path) -> int:
    """Take everything over, with a line for each conversation. Raises ConfigError, SessionsError."""
    config = loaded(flags, file, quiet=True).config
    try:
        counted = asyncio.run(_import(config, folder))
    except KeyboardInterrupt:
        print("error: stopped; import again to go on", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        problem = error.strerror or str(error)
        raise SessionsError(f"the data folder {config.data_dir} cannot be used: {problem}") from error
    print(", ".join(f"{counted[kind]} {words}" for kind, words in SAID.items()))
    return 0


async def _import(config: Config, folder: Path) -> Counter[str]:
    counted: Counter[str] = Counter()
    total = 0

    def begin(places: int) -> None:
        nonlocal total
        total = places

    async with bootstrap.open_importer(config, folder) as importer:
        async for outcome in importer.run(begin):
            counted[outcome.kind] += 1
            print(_told(outcome, f"[{counted.total()}/{total}]"), flush=True)
    return counted


def _told(outcome: ImportOutcome, count: str) -> str:
    how = SAID[outcome.kind]
    if outcome.kind in ("imported", "continued"):
        how = f"{how}, {outcome.events} events"
    first = f"{count} {outcome.place}: {how} {outcome.title}".rstrip()
    more = len(outcome.problems) - MOST_PROBLEMS
    lines = [first, *(f"    {problem}" for problem in outcome.problems[:MOST_PROBLEMS])]
    return "\n".join([clean(line) for line in lines] + ([f"    and {more} more"] if more > 0 else []))
