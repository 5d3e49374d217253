"""What import-linter cannot see: where imports stand, and what of the standard library a room may use."""

import ast
import sys

import pytest

from tests.house.sources import OURS, PACKAGE, Source, listed, sources

PUBLIC_FACES = {"openhands_sessions/__init__.py", "openhands_sessions/core/events/__init__.py"}
"""The `__init__.py` files that may hold something."""

IMPORT_LATE = {
    "openhands_sessions/bootstrap/application.py": "adapters are loaded when they are chosen",
    "openhands_sessions/bootstrap/kinds.py": "adapters are loaded when they are chosen",
    "openhands_sessions/adapters/models/litellm_library.py": "litellm is loaded by the first conversation with a model",
    "openhands_sessions/cli/serve.py": "reading certificates takes a library of 8 MB, which plain HTTP does not need",
    "openhands_sessions/server/rest/metrics.py": "most servers are never asked for their metrics",
    "openhands_sessions/executor/chunks.py": "zipping takes a tenth of an executor's memory, which few sandboxes need",
    "openhands_sessions/executor/diff.py": "the same, for sandboxes in which no file is edited",
}
"""The files that may import inside a function, and why."""

PURE = {
    *(
        "__future__",
        "abc",
        "base64",
        "bisect",
        "heapq",
        "collections",
        "contextlib",
        "contextvars",
        "copy",
        "dataclasses",
        "datetime",
    ),
    *("decimal", "difflib", "enum", "fnmatch", "fractions", "functools", "hashlib", "hmac", "itertools", "json"),
    *("math", "operator", "re", "string", "textwrap", "types", "typing", "unicodedata", "urllib.parse", "uuid"),
    *("annotated_types", "orjson", "pydantic", "typing_extensions"),
    "openhands_sessions.executor.masking",
}
"""What `core` may import: nothing that reads a clock, a file, the network, or that runs tasks or writes logs."""

EXECUTOR = sources(PACKAGE / "executor")


def test_no_import_hides_in_a_function() -> None:
    hidden = [
        f"{source.name}:{node.lineno} in {function.name}"
        for source in OURS
        if source.name not in IMPORT_LATE
        for function in source.functions()
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not hidden, listed(hidden, "Import at the top. If that makes a circle, pass it in, or move the type down.")


def test_types_are_imported_like_everything_else() -> None:
    dodges = [
        f"{source.name}:{node.lineno}"
        for source in OURS
        for node in ast.walk(source.tree)
        if (isinstance(node, ast.Name) and node.id == "TYPE_CHECKING")
        or (isinstance(node, ast.Attribute) and node.attr == "TYPE_CHECKING")
    ]
    assert not dodges, listed(dodges, "No TYPE_CHECKING: a type that cannot be imported stands in the wrong room.")


def test_init_files_are_empty_but_for_the_public_face() -> None:
    full = [
        source.name
        for source in OURS
        if source.path.name == "__init__.py" and source.text.strip() and source.name not in PUBLIC_FACES
    ]
    assert not full, listed(full, "Import from the file itself; only the public face re-exports.")


def test_core_is_pure() -> None:
    impure = [
        f"{source.name}:{line} {module}"
        for source in sources(PACKAGE / "core")
        for module, line in source.imports()
        if not module.startswith("openhands_sessions.core")
        and not any(module == allowed or module.startswith(f"{allowed}.") for allowed in PURE)
    ]
    assert not impure, listed(impure, "core does no I/O and knows no clock: pass the value in, or work a floor higher.")


def test_the_protocol_is_pure() -> None:
    impure = [
        f"{source.name}:{line} {module}"
        for source in sources(PACKAGE / "protocol")
        for module, line in source.imports()
        if not module.startswith(("openhands_sessions.core", "openhands_sessions.ports", "openhands_sessions.protocol"))
        and not any(module == allowed or module.startswith(f"{allowed}.") for allowed in (*PURE, "http"))
    ]
    assert not impure, listed(impure, "The protocol only describes and converts: no I/O, no clock, no framework.")


def test_core_takes_the_time_from_its_caller() -> None:
    clocks = [
        f"{source.name}:{node.lineno} .{node.attr}"
        for source in sources(PACKAGE / "core")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today", "uuid1", "uuid4")
    ]
    assert not clocks, listed(clocks, "core knows no clock and no chance: pass the value in.")


@pytest.mark.parametrize("source", EXECUTOR, ids=lambda source: source.name)
def test_the_executor_runs_on_python_3_8(source: Source) -> None:
    ast.parse(source.text, source.name, feature_version=(3, 8))


def test_the_executor_needs_nothing_but_the_standard_library() -> None:
    foreign = [
        f"{source.name}:{line} {module}"
        for source in EXECUTOR
        for module, line in source.imports()
        if not module.startswith("openhands_sessions.executor")
        and module.lstrip(".").split(".")[0] not in (*sys.stdlib_module_names, *beside_it(), "")
    ]
    assert not foreign, listed(foreign, "The executor runs inside any image: standard library only.")


def beside_it() -> set[str]:
    """The executor's own files: inside a sandbox they find each other by their bare names."""
    return {source.path.stem for source in EXECUTOR}
