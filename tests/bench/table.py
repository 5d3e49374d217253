"""The table that a benchmark prints, and the file that programs read."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `ratio` is to the floor's own figure where there is one."""

    name: str
    measured: float
    unit: str
    goal: float
    floor: float | None = None
    most: bool = True
    """Whether the goal is the most allowed; otherwise the least."""

    @property
    def ratio(self) -> float | None:
        return None if not self.floor else self.measured / self.floor

    @property
    def reached(self) -> bool:
        return self.measured <= self.goal if self.most else self.measured >= self.goal


def table(rows: list[Row]) -> str:
    lines = [f"{'what':46} {'measured':>12} {'goal':>12} {'floor':>10} {'ratio':>6}"]
    for row in rows:
        sign = "≤" if row.most else "≥"
        floor = "" if row.floor is None else f"{row.floor:.2f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.1f}"
        mark = "" if row.reached else "  missed"
        lines.append(
            f"{row.name:46} {row.measured:>9.2f} {row.unit:2} {sign} {row.goal:>7.2f} {row.unit:2}"
            f" {floor:>10} {ratio:>6}{mark}"
        )
    return "\n".join(lines)


def write(rows: list[Row], tell: Callable[[str], object]) -> None:
    tell(table(rows) + "\n")
    measured = [{**asdict(row), "ratio": row.ratio, "reached": row.reached} for row in rows]
    Path("bench.json").write_text(json.dumps(measured, indent=2) + "\n")
