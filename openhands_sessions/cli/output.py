"""Text and JSON on standard output: tables, and text that cannot control the terminal."""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

NAME = "openhands-sessions"
GAP = "  "
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """The text without escape sequences and control characters: the output of commands is not trusted."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


def counted(count: float, noun: str) -> str:
    """`1 day`, `2,000 days`, `1.5 days`."""
    return f"{count:,.12g} {noun}" if count == 1 else f"{count:,.12g} {noun}s"


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The header and each row as a line with aligned cells; the last column is not padded."""
    lines = [header, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header) - 1)]
    return "\n".join(
        GAP.join([*(cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=True)), line[-1]]).rstrip()
        for line in lines
    )


def program() -> str:
    """How a user calls this program again, from the folder where they are."""
    called = Path(sys.argv[0])
    if shutil.which(NAME) is not None:
        return NAME
    if called.name != NAME:
        return f"python -m {NAME.replace('-', '_')}"
    with suppress(ValueError):
        return str(called.absolute().relative_to(Path.cwd()))
    return str(called.absolute())


def print_json(value: Any) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def silence() -> None:
    """What is written from now on goes nowhere: who read it is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
