"""Looks at processes of this machine: by command line, by environment, their memory, their end."""

import asyncio
import contextlib
import os
from pathlib import Path


def marked(*texts: str) -> list[int]:
    """Processes that were started with these texts in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                environment = (entry / "environ").read_bytes()
                if all(text.encode() in environment for text in texts) and alive(int(entry.name)):
                    found.append(int(entry.name))
    return found


def called(*texts: str) -> list[str]:
    """The command lines of processes that hold these texts."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                if all(text in words for text in texts) and alive(int(entry.name)):
                    found.append(words)
    return found


def alive(pid: int) -> bool:
    """Whether it is there and has not ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def ended(pid: int) -> None:
    """Wait until a process, not only a child, has ended."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    done = asyncio.Event()
    asyncio.get_running_loop().add_reader(process, done.set)
    try:
        await done.wait()
    finally:
        asyncio.get_running_loop().remove_reader(process)
        os.close(process)


def peak_memory(pid: int) -> int:
    """The most that a process ever had in memory, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def restarted_peak(pid: int) -> int:
    """What a process has in memory, which is its peak from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_memory(pid)


def private_memory(pid: int) -> int:
    """What would be free without this process, in bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))
