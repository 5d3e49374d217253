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


class ProgramSession(Protocol):
    """The standard input and output of one running program."""

    def lines(self) -> AsyncGenerator[str, None]:
        """The lines that it prints, until it ends; for one reader. A line of more than 1 MiB ends the program."""

    async def write(self, line: str) -> None:
        """Write a line to its input. Raises RuntimeUnavailable where it has ended."""


class Programs(Protocol):
    """Starts programs inside the sandbox, beside the shell. They end with the connection and are not recorded."""

    def open(self, program: ProgramSpec) -> AbstractAsyncContextManager[ProgramSession]:
        """Start a program, and the executor where it does not run. A program that cannot be started counts as one that
        has ended. The end of the block ends the program and its descendants. Raises RuntimeUnavailable."""
