"""Programs inside a sandbox that read lines and print lines."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramSpec:
    """A program to run in `/workspace`. `words` is the program and its arguments; `environment` is added to what every
    command gets."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


LONGEST_LINE = 16 << 20
"""Bytes of a line that programs print and are given."""


@dataclass(frozen=True, slots=True)
class CutLine:
    """A line of more than LONGEST_LINE: how it begins and ends, each in a few hundred characters."""

    head: str
    tail: str


class ProgramSession(Protocol):
    """The standard input and output of one running program."""

    unread: frozenset[str]
    """When `lines` has ended: the keys of lines that the program certainly never read to their end."""

    def lines(self) -> AsyncGenerator[str | CutLine, None]:
        """The lines that it prints, until it ends; for one reader. The program waits until its lines are read. A
        line without end ends the program."""

    async def write(self, line: str, key: str = "") -> None:
        """Write a line to its input; `key` is its name in `unread`. Raises NotAsked where the program has certainly not
        got it, because it has ended; RuntimeUnavailable where it may have got it; TooLarge over LONGEST_LINE."""


class Programs(Protocol):
    """Starts programs inside the sandbox, beside the shell. They end with the connection and are not recorded."""

    def open(self, program: ProgramSpec) -> AbstractAsyncContextManager[ProgramSession]:
        """Start a program, and the executor where it does not run. A program that cannot be started counts as one that
        has ended. The end of the block ends the program and its descendants. Raises RuntimeUnavailable."""
