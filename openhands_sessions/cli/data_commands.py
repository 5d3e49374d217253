"""`import` and `sandbox`: what changes the data folder and its containers while no conversation is open."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from openhands_sessions import bootstrap
from openhands_sessions.cli.data_folder import usable
from openhands_sessions.cli.output import clean, columns, print_json
from openhands_sessions.cli.settings import loaded
from openhands_sessions.config.config import Config
from openhands_sessions.ports.sandboxes import SandboxInfo
from openhands_sessions.service.importing import ImportOutcome

INTERRUPTED = 128 + signal.SIGINT
MOST_PROBLEMS = 10
"""Problems of one conversation that are printed."""
OUTCOMES = {"imported": "imported", "continued": "continued", "there": "there already", "skipped": "skipped"}


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

    async with bootstrap.open_importer(config, folder) as importer:
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
