"""Figures and tables of the docs that are drawn from the code: `python -m tests.house.figures` draws them anew."""

from collections.abc import Callable
from pathlib import Path

from openhands_sessions.config.template import template
from openhands_sessions.core.lifecycle import SET_UP, TRANSITIONS, SessionState
from openhands_sessions.session.setup_stages import STAGES
from tests.house.listings import commands, conversation_settings, settings_tables
from tests.house.protocol_listings import messages, sayings, statuses
from tests.house.sources import ROOT
from tests.house.wire_listings import errors, events, routes, user_settings

LIFECYCLE = ROOT / "docs" / "concepts" / "lifecycle.md"
CONFIGURATION = ROOT / "docs" / "reference" / "configuration.md"
REFERENCE = ROOT / "docs" / "reference"
COMMANDS = ROOT / "docs" / "reference" / "cli.md"
DECISIONS = ROOT / "docs" / "decisions"
DEFAULTS = ROOT / "configs" / "default.toml"


def transitions() -> str:
    """The table as a picture: Error and Closing are drawn once for the states that lead there alike."""
    alive = [state for state in SessionState if {SessionState.ERROR, SessionState.CLOSING} <= TRANSITIONS[state]]
    lines = [
        "stateDiagram-v2",
        "    state Alive {",
        *(f"        {old} --> {new}" for old in alive for new in _sorted(TRANSITIONS[old]) if new in alive),
        "    }",
        "    [*] --> Created",
        *(f"    {old} --> {new}" for old in SessionState for new in _drawn(old, alive)),
        *(f"    Alive --> {end}" for end in (SessionState.ERROR, SessionState.CLOSING)),
        "    Closed --> [*]",
    ]
    return "\n".join(["```mermaid", *lines, "```"])


def stages() -> str:
    rows = [f"| `{state}` | {STAGES[state].limit:.0f} s | `{STAGES[state].status}` |" for state in SET_UP]
    return "\n".join(["| state | limit | status |", "|---|---|---|", *rows])


def decisions() -> str:
    titles = {path.name: path.read_text(encoding="utf-8").split("\n", 1)[0] for path in DECISIONS.glob("0*.md")}
    rows = [f"| [{title[2:6]}]({name}) | {title[8:]} |" for name, title in sorted(titles.items())]
    return "\n".join(["| page | decision |", "|---|---|", *rows])


FIGURES: dict[Path, dict[str, Callable[[], str]]] = {
    LIFECYCLE: {"transitions": transitions, "stages": stages},
    CONFIGURATION: {"settings": settings_tables, "conversation": conversation_settings},
    COMMANDS: {"commands": commands},
    DECISIONS / "index.md": {"decisions": decisions},
    REFERENCE / "rest.md": {"routes": routes},
    REFERENCE / "events.md": {"events": events},
    REFERENCE / "errors.md": {"errors": errors},
    REFERENCE / "protocol.md": {"messages": messages, "sayings": sayings},
    REFERENCE / "statuses.md": {"statuses": statuses},
    REFERENCE / "user-settings.md": {"user settings": user_settings},
}


def drawn(path: Path) -> str:
    """The file's text with its figures as the code has them now."""
    text = path.read_text(encoding="utf-8")
    for name, figure in FIGURES[path].items():
        before, begin, behind = text.partition(f"<!-- drawn: {name} -->\n")
        _, end, after = behind.partition("<!-- end -->\n")
        assert begin, f"{path} has no place for {name}"
        assert end, f"{path} does not say where {name} ends"
        text = f"{before}{begin}{figure()}\n{end}{after}"
    return text


def _drawn(old: SessionState, alive: list[SessionState]) -> list[SessionState]:
    return [] if old in alive else _sorted(TRANSITIONS[old])


def _sorted(states: frozenset[SessionState]) -> list[SessionState]:
    return [state for state in SessionState if state in states]


if __name__ == "__main__":
    for each in FIGURES:
        each.write_text(drawn(each), encoding="utf-8")
    DEFAULTS.write_text(template(), encoding="utf-8")
