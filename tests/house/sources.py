"""The project's own Python files, parsed."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "openhands_sessions"


@dataclass(frozen=True)
class Source:
    """One file; `name` is its path below the root."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def tree(self) -> ast.Module:
        """The package's trees are kept; those of the tests would take another 60 MB."""
        return self._tree if PACKAGE in self.path.parents else self._parsed()

    @cached_property
    def _tree(self) -> ast.Module:
        return self._parsed()

    def _parsed(self) -> ast.Module:
        return ast.parse(self.text, self.name)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def imports(self) -> Iterator[tuple[str, int]]:
        """Each module imported, anywhere in the file, and the line."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield "." * node.level + (node.module or ""), node.lineno


def sources(*folders: Path) -> list[Source]:
    """The files below these folders, in order."""
    return [Source(path) for folder in folders for path in sorted(folder.rglob("*.py")) if path.is_file()]


OURS = sources(PACKAGE)
TESTS = sources(ROOT / "tests")
EVERYTHING = [*OURS, *TESTS, *sources(ROOT / "docs")]


def listed(problems: list[str], advice: str) -> str:
    """What a failing test says: each problem on a line, then what to do."""
    return "\n  ".join(["", *problems, "", advice])
