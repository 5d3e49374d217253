"""`docs/reference/seeds.md` has every row of the systems that came before, and names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "seeds.md").read_text(encoding="utf-8")
FAULTS = {
    "L": 5, "M": 1, "C": 4, "EV": 7, "A": 14, "Q": 5, "P": 9
}  # fmt: skip
"""How many faults of each kind are known."""


def test_every_feature_and_fault_has_a_row() -> None:
    features = {f"F{number}" for number in range(1, 45)}
    faults = {f"W-{kind}{number}" for kind, count in FAULTS.items() for number in range(1, count + 1)}
    listed = set(re.findall(r"^\| (F\d+) \|", PAGE, re.MULTILINE))
    told = {name for row in re.findall(r"^\| (W-[^|]*) \|", PAGE, re.MULTILINE) for name in row.split(", ")}
    assert listed == features
    assert told == faults


def test_the_tests_that_it_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    defined = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(named) > 50
    assert named - defined == set()


def test_rows_without_a_test_say_that_they_are_to_come() -> None:
    rows = re.findall(r"^\| ((?:F|W-)[^\n]*) \|$", PAGE, re.MULTILINE)
    bare = [row.split(" |")[0] for row in rows if "`test_" not in row and "*next*" not in row]
    assert bare == ["F38"]  # there is nothing that could be tested
