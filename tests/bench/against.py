"""Another revision's server beside ours, run about, in one table."""

import asyncio
import io
import statistics
import tarfile
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench.servers import HERE
from tests.bench.table import Row, goal, number

HEADINGS = ("min / median / max", "before", "after", "ratio", "goal", "")


@asynccontextmanager
async def checked_out(revision: str) -> AsyncIterator[Path]:
    """A temporary folder with the package as it is at a revision."""
    git = ("git", "-C", str(HERE), "archive", revision, "openhands_sessions")
    process = await asyncio.create_subprocess_exec(*git, stdout=asyncio.subprocess.PIPE)
    content, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"git has no revision {revision!r}")
    with tempfile.TemporaryDirectory(prefix="ohs-bench-against-") as folder:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)


def comparison(before: Sequence[Row], after: Sequence[Row]) -> str:
    """A Markdown table: minimum, median and maximum of the runs. A row is there once for each run."""
    earlier, later = _by_name(before), _by_name(after)
    lines = [HEADINGS, ("---",) * len(HEADINGS)]
    for name, rows in later.items():
        old = [row.measured for row in earlier.get(name, ())]
        new = [row.measured for row in rows]
        middle = Row(name, statistics.median(new), rows[0].unit, rows[0].goal, most=rows[0].most)
        ratio = middle.measured / statistics.median(old) if old and statistics.median(old) else None
        met = "met" if middle.reached else "MISSED"
        lines.append((name, _spread(old, middle.unit), _spread(new, middle.unit), number(ratio), goal(middle), met))
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEADINGS))]
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)


def _by_name(rows: Sequence[Row]) -> Mapping[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.name, []).append(row)
    return found


def _spread(values: Sequence[float], unit: str) -> str:
    if not values:
        return ""
    figures = (min(values), statistics.median(values), max(values))
    return f"{' / '.join(map(number, figures))} {unit}"
