"""Reads SQLite's write-ahead log before SQLite does, which takes what follows a damaged page for a torn end, and drops
it. The form is that of https://www.sqlite.org/fileformat2.html, section 4."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct, unpack
from typing import BinaryIO

KEPT = "lost-commits"
"""In the name of a log that was kept aside: `sessions.db-wal.lost-commits-20250131T123000Z`."""
_HEADER = Struct(">8I")
"""Magic, version, page size, checkpoints, two salts, two checksums."""
_FRAME = Struct(">6I")
"""Page number, size of the database after a commit or 0, two salts, two checksums."""
_MAGIC = 0x377F0682
_PAGE = 4096
"""SQLite's own choice, which is ours."""
_MASK = 0xFFFFFFFF
SECOND_LOOK = 0.2
"""Seconds after which what is just being written by another process is whole."""

_Sum = tuple[int, int]


@dataclass(frozen=True, slots=True)
class LostFrames:
    """`first` is the number of the first damaged page in the log, `later` how many whole ones follow it."""

    first: int
    later: int


def keep_lost_log(database: Path) -> str | None:
    """Copy the log aside where SQLite would drop commits of it; what to say then. Raises OSError."""
    log = database.with_name(f"{database.name}-wal")
    lost = find_lost(log)
    if lost is None:
        return None
    time.sleep(SECOND_LOOK)
    if find_lost(log) != lost:
        return None  # another process writes to it
    kept = log.with_name(f"{log.name}.{KEPT}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    shutil.copy2(log, kept)
    return (
        f"the write-ahead log was damaged: what was stored last is lost ({lost.later} pages after a damaged one). "
        f"It is kept as {kept.name}. Stop the server and restore a backup; or start it again to go on with what is "
        "left, where the newest events may be missing"
    )


def kept_logs(database: Path) -> list[Path]:
    """The logs that were kept aside, oldest first."""
    return sorted(database.parent.glob(f"{database.name}-wal.{KEPT}-*"))


def find_lost(log: Path) -> LostFrames | None:
    """Whether whole frames of the current salts follow a damaged one, among them or before them a commit. A torn end,
    or what an earlier use of the log has left behind it, is normal."""
    try:
        with log.open("rb") as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return None
            numbers = _HEADER.unpack(header)
            order = "<" if numbers[0] == _MAGIC else ">"
            if numbers[0] | 1 == _MAGIC | 1 and _sum(header[:24], order, (0, 0)) == numbers[6:]:
                return _damaged_frames(file, order, numbers[2], numbers[4:6], numbers[6:])
            return _behind_damaged_header(file)
    except FileNotFoundError:
        return None


def _behind_damaged_header(file: BinaryIO) -> LostFrames | None:
    """Of what the header would say, the first frame has the salts, and the rest is found by trying."""
    first = file.read(_FRAME.size)
    if len(first) == _FRAME.size:
        for order in "<>":
            file.seek(_HEADER.size)
            if (lost := _damaged_frames(file, order, _PAGE, _FRAME.unpack(first)[2:4], None)) is not None:
                return lost
    return None


def _damaged_frames(file: BinaryIO, order: str, size: int, salts: _Sum, start: _Sum | None) -> LostFrames | None:
    """`start` is None where the header is damaged: then no frame is whole for SQLite."""
    first = 0 if start is None else None
    later, committed = 0, False
    chains = [] if start is None else [start]
    for number, (head, page) in enumerate(_frames(file, size), 1):
        values = _FRAME.unpack(head)
        told, ours = values[4:], values[2:4] == salts
        sums = [_sum(page, order, _sum(head[:8], order, chain)) for chain in chains] if ours else []
        whole = told in sums
        if first is None and not whole:
            first = number
        if first is not None:
            later += whole
            committed |= ours and values[1] != 0
        # Behind a damaged frame: either what it says of itself is right, or what its content gives.
        chains = [told] if whole else [told, *sums[:1]]
    return LostFrames(first, later) if first is not None and later and committed else None


def _frames(file: BinaryIO, size: int) -> Iterator[tuple[bytes, bytes]]:
    while len(content := file.read(_FRAME.size + size)) == _FRAME.size + size:
        yield content[: _FRAME.size], content[_FRAME.size :]


def _sum(content: bytes, order: str, start: _Sum) -> _Sum:
    """SQLite's checksum, which goes on from that of the frame before."""
    one, two = start
    words = unpack(f"{order}{len(content) // 4}I", content)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        one = one + even + two & _MASK
        two = two + odd + one & _MASK
    return one, two
