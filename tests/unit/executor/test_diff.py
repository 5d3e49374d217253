"""Diffs that `patch` understands, made quickly."""

import random
import subprocess
import time
from pathlib import Path

import pytest

from openhands_sessions.executor.diff import lines_of, unified


@pytest.mark.parametrize(
    ("text", "lines"), [("", []), ("a", ["a"]), ("a\n", ["a"]), ("a\n\n", ["a", ""]), ("\n", [""]), ("a\r\n", ["a\r"])]
)
def test_lines_are_counted_as_editors_do(text: str, lines: list[str]) -> None:
    assert lines_of(text) == lines


def test_nothing_changed_is_no_diff() -> None:
    assert unified("a\nb\n", "a\nb\n", "x") == ""


@pytest.mark.parametrize("seed", range(30))
def test_patch_makes_the_new_file_of_the_old(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    old = [f"line {chance.randrange(30)}" for _ in range(chance.randrange(1, 120))]
    new = old[:]
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(new) + 1)
        new[place : place + chance.randrange(4)] = [f"new {chance.random()}"] * chance.randrange(4)
    file = tmp_path / "file"
    file.write_text("".join(line + "\n" for line in old))
    wanted = "".join(line + "\n" for line in new)
    diff = unified(file.read_text(), wanted, "file")
    if diff:
        subprocess.run(["patch", "-s", file], input=diff + "\n", text=True, check=True)
    assert file.read_text() == wanted


def test_a_small_change_of_a_large_file_takes_no_time() -> None:
    lines = [f"line {number % 50}" for number in range(200_000)]
    old = "\n".join(lines)
    lines[100_000:100_002] = ["new"]
    begun = time.perf_counter()
    diff = unified(old, "\n".join(lines), "x")
    assert time.perf_counter() - begun < 20
    assert diff.splitlines()[2] == "@@ -99998,8 +99998,7 @@"


def test_a_large_change_is_one_piece() -> None:
    old = "\n".join(f"old {number}" for number in range(10_000))
    new = "\n".join(f"new {number}" for number in range(10_000))
    assert unified(old, new, "x").splitlines()[2] == "@@ -1,10000 +1,10000 @@"
