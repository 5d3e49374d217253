"""Files and functions stay small enough to be read in one go."""

import ast

from tests.house.sources import EVERYTHING, OURS, listed

LINES_OF_A_FILE = 350
LINES_OF_A_FUNCTION = 40
POSITIONAL_PARAMETERS = 5

LARGER_FILES = {
    "openhands_sessions/core/events/actions.py",
    "tests/flows/test_docker_life.py",
    "tests/unit/models/test_litellm.py",
}
"""Names of files that may be larger. The list only shrinks."""

WIDER_FUNCTIONS = {"openhands_sessions/server/web_session.py __init__": "others build it, by position"}
"""Functions that may take more by position, and why."""


def test_no_file_is_too_long() -> None:
    long = [
        f"{source.name}: {lines} lines"
        for source in EVERYTHING
        if (lines := source.text.count("\n")) > LINES_OF_A_FILE and source.name not in LARGER_FILES
    ]
    assert not long, listed(long, f"Over {LINES_OF_A_FILE} lines: look for the seam (from 250 on) and split the room.")


def test_no_function_is_too_long() -> None:
    long = [
        f"{source.name}:{function.lineno} {function.name}: {lines} lines"
        for source in OURS
        for function in source.functions()
        if (lines := length(function)) > LINES_OF_A_FUNCTION
    ]
    assert not long, listed(long, f"Over {LINES_OF_A_FUNCTION} lines without the docstring: name its steps.")


def test_no_function_takes_too_much_by_position() -> None:
    wide = [
        f"{source.name}:{function.lineno} {function.name}: {count}"
        for source in OURS
        for function in source.functions()
        if (count := positional(function)) > POSITIONAL_PARAMETERS
        and f"{source.name} {function.name}" not in WIDER_FUNCTIONS
    ]
    assert not wide, listed(wide, f"Over {POSITIONAL_PARAMETERS} parameters: put them behind `*`, or in a dataclass.")


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def positional(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
    return len([name for name in names if name not in ("self", "cls")])
