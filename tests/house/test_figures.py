"""What the docs draw is what the code has."""

from pathlib import Path

import pytest

from openhands_sessions.config.template import template
from openhands_sessions.core.lifecycle import TRANSITIONS, SessionState
from tests.house.figures import DEFAULTS, FIGURES, drawn, transitions


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.name)
def test_figures_are_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == drawn(path), "Draw them anew: python -m tests.house.figures"


def test_the_file_of_defaults_is_up_to_date() -> None:
    assert DEFAULTS.read_text(encoding="utf-8") == template(), "Draw it anew: python -m tests.house.figures"


def test_the_lifecycle_figure_has_every_arrow_of_the_table_and_no_other() -> None:
    lines = [line.strip() for line in transitions().splitlines() if "-->" in line and "[*]" not in line]
    arrows = {tuple(line.split(" --> ")) for line in lines}
    alive = [state for state in SessionState if SessionState.ERROR in TRANSITIONS[state]]
    for old, new in [arrow for arrow in arrows if arrow[0] == "Alive"]:
        arrows.remove((old, new))
        arrows |= {(str(state), new) for state in alive}
    assert arrows == {(str(old), str(new)) for old, news in TRANSITIONS.items() for new in news}
    assert len(lines) == len(set(lines))
