"""The figures of other libraries, which have an environment of their own: `make bench-peers`."""

import asyncio
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench.table import Row, number

PROGRAMS = Path(__file__).parent / "peers"
NAMES = {
    "sqlite_session": "OpenAI Agents SDK SQLiteSession",
    "session_store": "praisonaiagents DefaultSessionStore",
    "sqlite_saver": "LangGraph SqliteSaver",
}
WITHIN = 300.0
"""Seconds that one of them may take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerFigures:
    """Of one library, by name, each in its row's unit; or the `problem` for which there are none. A library that was
    not asked has neither."""

    name: str
    figures: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""

    def row(self, row: Row, figure: str) -> Row:
        """With this figure beside it. The first one stands in a column of its own, each in the note."""
        found = self.figures.get(figure)
        if found is None and not self.problem:
            return row
        text = self.problem if found is None else f"{number(found)} {row.unit}"
        note = "; ".join(filter(None, [row.note, f"{self.name}: {text}"]))
        return replace(row, stock=found if row.stock is None else row.stock, note=note)


class Peers:
    """Runs each of them once for a number of events. `python` is the one that has them; None: they are not asked."""

    def __init__(self, python: Path | None) -> None:
        self._python = python
        self._found: dict[tuple[str, int], PeerFigures] = {}

    async def figures(self, program: str, events: int) -> PeerFigures:
        if self._python is None:
            return PeerFigures(name=NAMES[program])
        if (program, events) not in self._found:
            self._found[program, events] = await _measured(self._python, program, events)
        return self._found[program, events]


async def _measured(python: Path, program: str, events: int) -> PeerFigures:
    name = NAMES[program]
    with tempfile.TemporaryDirectory(prefix="ohs-bench-peer-") as folder:
        process = await asyncio.create_subprocess_exec(
            *(str(python), str(PROGRAMS / f"{program}.py"), folder, str(events)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(WITHIN):
                printed, said = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return PeerFigures(name=name, problem=f"not ready within {WITHIN:g} s")
    if process.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        return PeerFigures(name=name, problem=last[0] if last else f"ended with {process.returncode}")
    return PeerFigures(name=name, figures=json.loads(printed.splitlines()[-1]))
