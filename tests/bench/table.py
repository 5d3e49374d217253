"""The table that a benchmark prints, and the file that programs read."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    measured: float
    unit: str
    goal: float
    stock: float | None = None
    """The figure of a plain python-socketio server, or of another library, in the same run."""
    floor: float | None = None
    """What the row's name would cost with nothing but bare frames, containers or processes."""
    most: bool = True
    """Whether the goal is the most allowed; otherwise the least."""
    note: str = ""
    """What stands beside it, by name: or why a figure is not there."""

    @property
    def ratio(self) -> float | None:
        """To `stock`, or to `floor` where there is no stock."""
        beside = self.stock or self.floor
        return self.measured / beside if beside else None

    @property
    def reached(self) -> bool:
        return self.measured <= self.goal if self.most else self.measured >= self.goal


def table(rows: Sequence[Row]) -> str:
    lines = [f"{'what':50} {'measured':>14} {'goal':>14} {'stock':>10} {'floor':>10} {'ratio':>6}"]
    for row in rows:
        lines.append(
            f"{row.name:50} {number(row.measured):>9} {row.unit:4} {goal(row):>14}"
            f" {number(row.stock):>10} {number(row.floor):>10} {number(row.ratio):>6}"
            f"  {'met' if row.reached else 'MISSED'}  {row.note}".rstrip()
        )
    return "\n".join(lines)


def goal(row: Row) -> str:
    return f"{'≤' if row.most else '≥'} {number(row.goal)} {row.unit:4}"


def number(value: float | None) -> str:
    """Three digits or more; empty for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def write(rows: Sequence[Row], tell: Callable[[str], object]) -> None:
    tell(table(rows) + "\n")
    measured = [{**asdict(row), "ratio": row.ratio, "reached": row.reached} for row in rows]
    Path("bench.json").write_text(json.dumps(measured, indent=2) + "\n")
