"""Rows as aligned text."""

from collections.abc import Sequence

GAP = "  "


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A line for the header and for each row; the last column is as long as it is."""
    lines = [header, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header) - 1)]
    return "\n".join(
        GAP.join([*(cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=True)), line[-1]]).rstrip()
        for line in lines
    )
