"""Programs inside a sandbox that are spoken to."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramSpec:
    """A program that is spoken to line by line, in `/workspace`; `environment` is given to it besides what every
    command gets."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


class ProgramSession(Protocol):
    """A program that runs, as one who speaks to it sees it."""

    def lines(self) -> AsyncGenerator[str, None]:
        """What it prints, until it ends; for one reader. A line is at most 1 MiB: a longer one ends it."""

    async def write(self, line: str) -> None:
        """Give it a line. Raises RuntimeUnavailable where it has ended."""


class Programs(Protocol):
    """Programs inside the sandbox beside the shell. They end with the connection: no key, and no record of them."""

    def converse(self, program: ProgramSpec) -> AbstractAsyncContextManager[ProgramSession]:
        """Start a program, and the executor where it does not run; one that cannot be started is one that has ended.
        The end of the block ends it with all that it started. Raises RuntimeUnavailable."""
