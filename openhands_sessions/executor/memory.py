"""The machine's memory, and this process's share of it."""

from __future__ import annotations

import contextlib
from pathlib import Path

try:
    import ctypes
except ImportError:  # not every image's Python has it
    ctypes = None  # type: ignore[assignment]

MEMINFO = Path("/proc/meminfo")
SHORT = 0.25


def is_short(meminfo: Path = MEMINFO) -> bool:
    """Whether less than a quarter of the machine's memory is available; False where the system does not tell."""
    kilobytes = {}
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in meminfo.read_text().splitlines():
            name, _, size = line.partition(":")
            kilobytes[name] = int(size.split()[0])
    total = kilobytes.get("MemTotal", 0)
    return kilobytes.get("MemAvailable", total) < SHORT * total


def give_back() -> None:
    """Return to the system what this process has freed. Only glibc keeps it otherwise."""
    if ctypes is not None:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
