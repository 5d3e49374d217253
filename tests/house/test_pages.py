"""What the pages of the docs name is there, and every page is reached from the first one."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from openhands_sessions.cli.app import app
from openhands_sessions.config.loading import settings
from openhands_sessions.config.session_key import VARIABLES
from tests.house.listings import PROGRAM, walk
from tests.house.sources import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
IN_CONTAINERS = DOCS / "howto" / "run-with-compose.md"
"""Its commands run where the bare name is right."""
NOTE = "`openhands-sessions` is `.venv/bin/openhands-sessions` after `make serve`"
_CODE = re.compile(r"```.*?```|`[^`]+`", re.DOTALL)
_BARE = re.compile(r"^(?:\w+=\S+ )*openhands-sessions ", re.MULTILINE)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_first_page_leads_to_every_page() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    reached = {(DOCS / link).resolve() for link in re.findall(r"\]\(([^)#]+)", index)}
    decisions = set((DOCS / "decisions").glob("0*.md"))
    assert [named(page) for page in PAGES[1:] if page not in reached | decisions | {DOCS / "index.md"}] == []


def test_the_readme_links_to_the_quickstart_first() -> None:
    links = re.findall(r"\]\(([^)]+)", PAGES[0].read_text(encoding="utf-8"))
    assert links[0] == "docs/quickstart.md"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_are_on_the_path_or_the_page_says_where_they_are(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    bare = [code for code in _CODE.findall(text) if code.startswith("```") and _BARE.search(code)]
    assert not bare or NOTE in text or page == IN_CONTAINERS, bare[0]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_variables_and_commands_that_a_page_names_exist(page: Path) -> None:
    code = "\n".join(_CODE.findall(page.read_text(encoding="utf-8")))
    variables = {setting.variable for setting in settings().values()} | {*VARIABLES, "OHS_CONFIG", "OHS_"}
    assert sorted(set(re.findall(r"\bOHS_[A-Z_]*", code)) - variables) == []
    commands = {path.split()[1] for path, _ in walk(PROGRAM, get_command(app)) if " " in path}
    called = re.findall(r"(?:^|`|bin/|=\S+ )openhands-sessions ([a-z][a-z-]+)(?= |`|$)", code, re.MULTILINE)
    assert sorted(set(called) - commands) == []
