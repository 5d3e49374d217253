"""Whether processes wait for input from their terminal, as far as the kernel tells.

The kernel signals no such event: `/proc` is all there is. It says in which system call each thread blocks."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Iterable, Iterator, NamedTuple

_CALLS = {
    "x86_64": {
        "read": (0, 19),
        "poll": (7, 271),
        "select": (23, 270),
        "epoll": (232, 281, 441),
        "idle": (34, 128, 130, 202, 449),
    },
    "aarch64": {"read": (63, 65), "poll": (73,), "select": (72,), "epoll": (22, 441), "idle": (98, 133, 137, 449)},
}
"""Numbers of system calls by their kind; a thread in an idle one waits for a thread of its process, or for a signal."""
_KINDS = {number: kind for kind, numbers in _CALLS.get(os.uname().machine, {}).items() for number in numbers}
_TTY = os.makedev(5, 0)
_READABLE = 1
_DESCRIPTORS = 1024
_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_PEER_REQUEST = struct.Struct("=IHHIIBBHIIIII")
_ASKS_FOR_UNIX = (_SOCK_DIAG_BY_FAMILY, 1, 0, 0, socket.AF_UNIX, 0, 0, 0xFFFFFFFF)
_SHOW_PEER, _PEER, _NO_COOKIE = 4, 2, (0xFFFFFFFF, 0xFFFFFFFF)
_ANSWER_HEAD, _ANSWER_SIZE, _ANSWER_LIMIT = 32, 4096, 0.5
"""Of the kernel's socket diagnosis: its protocol and messages, the bytes of an answer before its attributes and in all,
and seconds that it may take."""
_TERMINAL, _OWN, _OTHER = "terminal", "own", "other"
"""What a thread waits for: the terminal, its own process, or anything else."""


class InputWait(NamedTuple):
    """The processes that wait for input (their ids and the processor time that they used, in ticks), and whether that
    is all: where not `sure`, more may wait."""

    processes: tuple[tuple[int, int], ...]
    sure: bool


def input_waits(pids: Iterable[int], group: int, terminal: int) -> InputWait:
    """The processes of the foreground group that wait for input from the terminal, a device number, and for nothing
    else."""
    found: list[tuple[int, int]] = []
    members = unsure = 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError, ValueError):  # it has ended
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[2]) != group or fields[0] in "ZX":
                continue
            members += 1
            waits = _waits(pid, terminal)
            if waits:
                found.append((pid, int(fields[11]) + int(fields[12])))
            unsure += waits is None
    return InputWait(tuple(sorted(found)), bool(_KINDS) and members > 0 and not unsure)


def _waits(pid: int, terminal: int) -> bool | None:
    """Whether a process waits for the terminal and nothing else; None where that cannot be known: it is not readable,
    or waits for other things, too, as `ssh` does."""
    try:
        waits = [_Thread(pid, each.name, terminal).waits_for() for each in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return None if Path(f"/proc/{pid}").exists() else False
    kinds = set().union(*waits)
    return False if _TERMINAL not in kinds else None if _OTHER in kinds else True


class _Thread:
    """One thread, and the descriptors of its process."""

    def __init__(self, pid: int, thread: str, terminal: int) -> None:
        self._process = f"/proc/{pid}"
        self._thread = thread
        self._terminals = (terminal, _TTY)

    def waits_for(self) -> set[str]:
        """Raises OSError where it is not readable."""
        words = Path(f"{self._process}/task/{self._thread}/syscall").read_text().split()
        if words[0] in ("running", "-1"):
            return {_OTHER}
        kind = _KINDS.get(int(words[0]), "")
        first, second = int(words[1], 16), int(words[2], 16)
        if kind == "idle":
            return {_OWN}
        if kind == "read":
            return {self._kind(first)}
        if kind == "poll":
            return {self._kind(each) for each in self._polled(first, second)} or {_OTHER}
        if kind == "select":
            return {self._kind(each) for each in self._selected(first, second)} or {_OTHER}
        if kind == "epoll":
            return {self._kind(each) for each in self._registered(first)} or {_OTHER}
        return {_OTHER}

    def _polled(self, address: int, count: int) -> Iterator[int]:
        memory = self._memory(address, 8 * min(count, _DESCRIPTORS))
        for descriptor, events, _ in struct.iter_unpack("=ihh", memory):
            if descriptor >= 0 and events & _READABLE:
                yield descriptor

    def _selected(self, limit: int, address: int) -> Iterator[int]:
        words = (min(limit, _DESCRIPTORS) + 63) // 64
        bits = int.from_bytes(self._memory(address, 8 * words), "little") if address else 0
        return (descriptor for descriptor in range(min(limit, _DESCRIPTORS)) if bits >> descriptor & 1)

    def _registered(self, epoll: int) -> Iterator[int]:
        for line in Path(f"{self._process}/fdinfo/{epoll}").read_text().splitlines():
            words = line.split()
            if words[0] == "tfd:" and int(words[3], 16) & _READABLE:
                yield int(words[1])

    def _memory(self, address: int, size: int) -> bytes:
        memory = os.open(f"{self._process}/mem", os.O_RDONLY)
        try:
            return os.pread(memory, size, address)
        finally:
            os.close(memory)

    def _kind(self, descriptor: int) -> str:
        path = Path(f"{self._process}/fd/{descriptor}")
        found = path.stat()
        if stat.S_ISCHR(found.st_mode):
            return _TERMINAL if found.st_rdev in self._terminals else _OTHER
        target = os.readlink(path)
        if target in ("anon_inode:[eventfd]", "anon_inode:[timerfd]", "anon_inode:[signalfd]"):
            return _OWN
        return _OWN if target.startswith(("pipe:", "socket:")) and self._both_ends(target) else _OTHER

    def _both_ends(self, target: str) -> bool:
        """Whether the process has both ends of a pipe or a pair of sockets, by which it wakes itself up."""
        descriptors = islice(Path(f"{self._process}/fd").iterdir(), _DESCRIPTORS)
        targets = Counter(map(os.readlink, descriptors))
        if target.startswith("pipe:"):
            return targets[target] > 1
        return targets[f"socket:[{_peer(int(target[len('socket:[') : -1]))}]"] > 0


def _peer(inode: int) -> int:
    """The other end of a connected unix socket; 0 where the kernel names none. `sock_diag(7)` describes the
    messages."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as diag:
        diag.settimeout(_ANSWER_LIMIT)
        diag.send(_PEER_REQUEST.pack(_PEER_REQUEST.size, *_ASKS_FOR_UNIX, inode, _SHOW_PEER, *_NO_COOKIE))
        answer = diag.recv(_ANSWER_SIZE)
    kind = struct.unpack_from("=4xH", answer)[0]
    attributes = answer[_ANSWER_HEAD:] if kind == _SOCK_DIAG_BY_FAMILY else b""
    while len(attributes) >= 8:
        length, kind, value = struct.unpack_from("=HHI", attributes)
        if kind == _PEER:
            return int(value)
        attributes = attributes[(max(length, 4) + 3) & ~3 :]
    return 0
