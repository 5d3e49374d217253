"""Names of tools: unique, and valid as names of functions for models."""

import re
from collections.abc import Iterator

LONGEST = 64
_ODD = re.compile(r"[^A-Za-z0-9_-]+")


class ToolNames:
    """Gives each tool a unique name."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, server: str, tool: str) -> str:
        for name in _candidates(server, tool):
            if name not in self._taken:
                self._taken.add(name)
                return name
        raise AssertionError("there is always one more number")


def _candidates(server: str, tool: str) -> Iterator[str]:
    name = f"mcp_{_plain(server)}_{_plain(tool)}"
    yield name[:LONGEST]
    for number in range(2, 1 << 30):
        ending = f"_{number}"
        yield name[: LONGEST - len(ending)] + ending


def _plain(text: str) -> str:
    return _ODD.sub("_", text).strip("_") or "x"
