"""Names: the ones we promise, the ones we avoid, and none of a particular machine."""

import ast
import os
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import openhands_sessions
from tests.house.sources import EVERYTHING, OURS, PACKAGE, ROOT, listed

PUBLIC_NAMES = [
    "Agent",
    "Allow",
    "ApprovalNeeded",
    "Deny",
    "RevisionConflict",
    "Session",
    "SessionBusy",
    "SessionsError",
    "SharedState",
    "TurnFailed",
    "TurnResult",
    "TurnTimeout",
    "__version__",
    "tool",
]
"""What the package promises to those who import it, sorted. A name once here stays, or the major version changes."""

EMPTY_WORDS = {"utils", "util", "helpers", "helper", "manager", "base", "common", "impl", "misc"}
"""Words that say nothing of what stands behind them."""

WIRE_NAMES = {"impl_source"}
"""Names that the protocol prescribes."""

SAME_IDEA = {
    **dict.fromkeys(("Bash", "Editor"), "the tool, and what carries it out inside the sandbox"),
    **dict.fromkeys(("Programs", "Workspace"), "the port, and its other side inside the sandbox"),
    **dict.fromkeys(("Agent",), "the port, and its description in a program"),
    **dict.fromkeys(("Action", "Hello", "Refusal"), "the value, and its form on a wire"),
}
"""Names of public classes that may occur in more than one file, and why. The list only shrinks."""

SOMEBODYS_PATH = re.compile(r"(?<!\w)/(?:home|Users|root|mnt|media)/\w+")
SKIPPED = {"node_modules", "dist", "build", "__pycache__", "tests"}
TEXT_FILES = {".py", ".md", ".toml", ".yaml", ".yml", ".sh", ".ts", ".tsx", ".html", ".lock", ""}


def test_the_public_names_are_pinned() -> None:
    assert sorted(openhands_sessions.__all__) == PUBLIC_NAMES, (
        "Change PUBLIC_NAMES, the docs and the changelog with it."
    )
    assert all(hasattr(openhands_sessions, name) for name in PUBLIC_NAMES)


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert openhands_sessions.__version__ == project["version"]


def test_no_file_or_class_has_an_empty_name() -> None:
    empty = [f"{source.name}" for source in EVERYTHING if words(source.path.stem) & EMPTY_WORDS]
    empty += [
        f"{source.name}:{node.lineno} {node.name}"
        for source in EVERYTHING
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and words(node.name) & EMPTY_WORDS
    ]
    empty += [
        f"{source.name}:{function.lineno} {function.name}"
        for source in OURS
        for function in source.functions()
        if words(function.name) & (EMPTY_WORDS - {"base", "common"})
    ]
    assert not empty, listed(empty, "If no noun fits, the thing is not one thing yet.")


def test_no_class_name_occurs_twice() -> None:
    places = defaultdict(list)
    for source in OURS:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{source.name}:{node.lineno}")
    twice = [f"{name}: {', '.join(at)}" for name, at in places.items() if len(at) > 1 and name not in SAME_IDEA]
    assert not twice, listed(twice, "Give each idea its own name, or say in SAME_IDEA why it is the same one.")


def test_nothing_names_a_particular_machine() -> None:
    named = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()[:80]}"
        for path in text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if SOMEBODYS_PATH.search(line)
    ]
    assert not named, listed(named, "Use a temporary folder, or a path below the project.")


def test_the_files_that_the_architecture_points_to_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("## Where is …?")[2].partition("\n## ")[0]
    files = re.findall(r"^\|[^\n]*\| `([\w/]+\.py)` \|$", section, re.MULTILINE)
    assert len(files) == 42
    assert [file for file in files if not (PACKAGE / file).is_file()] == []


def words(name: str) -> set[str]:
    """`LLMRegistry_base2` → llm, registry, base."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def text_files() -> Iterator[Path]:
    """What people wrote, but for tests, which may speak of a home that does not exist."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name[0] != "." and name not in SKIPPED]
        yield from (path for name in names if (path := Path(folder, name)).suffix in TEXT_FILES and name[0] != ".")
    yield ROOT / ".ci" / "run"
