"""The reference has everything that there is, found here in another way than the pages are drawn."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from pydantic import BaseModel
from typer.main import get_command

from openhands_sessions.cli.app import app
from openhands_sessions.config.config import Config
from openhands_sessions.core.errors import SessionsError
from openhands_sessions.core.events.event import Action, Observation
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.core.user_settings import UserSettings
from openhands_sessions.protocol.routes import ROUTES
from openhands_sessions.protocol.socket_messages import SOCKET_EVENTS
from openhands_sessions.protocol.statuses import ERROR_IDS, MESSAGE_IDS, OWN_STATUSES, V0_STATUSES
from tests.house.figures import FIGURES, REFERENCE
from tests.house.listings import PROGRAM, walk
from tests.house.sources import OURS

WRITTEN = {"scripted-model.md", "seeds.md"}
"""Pages with nothing in them that code could list."""
ID = re.compile(
    r"(?:STATUS|CHAT_INTERFACE|AGENT_ERROR|MCP|MICROAGENT|REPLAY|LOG|CONVERSATION|CONFIGURATION|RUNTIME)\$[A-Z_]+"
)
K = TypeVar("K")
SENDERS = {"message_packet", "event_packet", "array_packet"}


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def missing(name: str, expected: Iterator[str]) -> list[str]:
    """What a page does not name, each looked for between backquotes."""
    text = page(name)
    found = list(expected)
    assert len(found) > 2
    return [each for each in found if f"`{each}`" not in text]


def test_every_page_is_drawn_or_has_nothing_to_draw() -> None:
    drawn = {path.name for path in FIGURES if path.parent == REFERENCE}
    assert {path.name for path in REFERENCE.glob("*.md")} == drawn | WRITTEN


def test_every_kind_of_event_is_there() -> None:
    assert missing("events.md", (kind.KIND for base in (Action, Observation) for kind in below(base))) == []


def test_every_error_is_there() -> None:
    assert missing("errors.md", (kind.code for kind in below(SessionsError))) == []


def test_every_route_is_there() -> None:
    text = page("rest.md")
    assert len(ROUTES) > 40
    named = [f"| `{route.method}` | `{route.path}` |" for route in ROUTES]
    assert [name for name in named if name not in text] == []


def test_every_setting_is_there() -> None:
    assert missing("configuration.md", leaves(Config)) == []
    assert missing("configuration.md", iter(SessionSettings.model_fields)) == []
    assert missing("user-settings.md", iter(UserSettings.model_fields)) == []


def test_every_command_is_there() -> None:
    text = page("cli.md")
    assert [path for path, _ in walk(PROGRAM, get_command(app)) if f"## `{path}`" not in text] == []


def test_every_message_over_the_socket_is_there() -> None:
    sent = {name for source in OURS if "/server/" in source.name for name in named(source.tree)}
    assert sent == {event.name for event in SOCKET_EVENTS if event.sender == "server"}
    assert missing("protocol.md", iter(sent)) == []
    assert missing("protocol.md", iter(("oh_user_action", "oh_action", "auth", "refusal", "acknowledgement"))) == []


def test_every_status_and_id_is_there() -> None:
    used = {text for source in OURS for text in texts(source.tree) if ID.fullmatch(text)}
    known = {*V0_STATUSES, *OWN_STATUSES, *ERROR_IDS, *MESSAGE_IDS}
    assert used == known
    assert missing("statuses.md", iter(known)) == []


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*.md")), ids=lambda path: path.name)
def test_every_link_between_pages_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def below(kind: type[K]) -> Iterator[type[K]]:
    """Every class below one that is part of the product."""
    for each in kind.__subclasses__():
        if each.__module__.startswith("openhands_sessions."):
            yield each
        yield from below(each)


def leaves(kind: type[BaseModel], above: str = "") -> Iterator[str]:
    """Every setting of a configuration, by its dotted name."""
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def texts(tree: ast.AST) -> Iterator[str]:
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def named(tree: ast.AST) -> Iterator[str]:
    """The names of packets that a module makes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SENDERS and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant):
                yield str(name.value)
