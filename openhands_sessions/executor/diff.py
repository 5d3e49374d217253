"""Unified diffs, fast for large files with small changes."""

from __future__ import annotations

from typing import Iterator, Tuple

_CONTEXT = 3
_LINES_COMPARED = 4000

Opcode = Tuple[str, int, int, int, int]


def unified(old: str, new: str, path: str) -> str:
    """The change of a file as a unified diff without a final newline; empty where nothing changed."""
    before, after = lines_of(old), lines_of(new)
    first = _common(before, after)
    last = _common(before[first:][::-1], after[first:][::-1])
    start = max(0, first - _CONTEXT)
    behind = max(0, last - _CONTEXT)
    old_part, new_part = before[start : len(before) - behind], after[start : len(after) - behind]
    if old_part == new_part:
        return ""
    hunks = [line for group in _groups(old_part, new_part) for line in _hunk(group, old_part, new_part, start)]
    return "\n".join(["--- " + path, "+++ " + path, *hunks])


def lines_of(text: str) -> list[str]:
    """Lines as an editor counts them: the text after the last newline is a line only if it is not empty."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def _common(left: list[str], right: list[str]) -> int:
    count = 0
    for mine, theirs in zip(left, right):
        if mine != theirs:
            break
        count += 1
    return count


def _groups(old: list[str], new: list[str]) -> Iterator[list[Opcode]]:
    if max(len(old), len(new)) <= _LINES_COMPARED:  # the comparison is quadratic at worst
        import difflib  # not every sandbox edits files

        yield from difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(_CONTEXT)
    else:
        yield [("replace", 0, len(old), 0, len(new))]


def _hunk(group: list[Opcode], old: list[str], new: list[str], offset: int) -> Iterator[str]:
    _, old_start, _, new_start, _ = group[0]
    _, _, old_end, _, new_end = group[-1]
    yield f"@@ -{_span(old_start + offset, old_end + offset)} +{_span(new_start + offset, new_end + offset)} @@"
    for tag, i1, i2, j1, j2 in group:
        if tag == "equal":
            yield from (" " + line for line in old[i1:i2])
        else:
            yield from ("-" + line for line in old[i1:i2])
            yield from ("+" + line for line in new[j1:j2])


def _span(start: int, end: int) -> str:
    """The format's notation: lines from 1, a count of 1 omitted, an empty span named by the line before it."""
    if end - start == 1:
        return str(start + 1)
    return f"{start + 1 if end > start else start},{end - start}"
