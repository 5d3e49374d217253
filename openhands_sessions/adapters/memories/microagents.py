"""Files of knowledge: Markdown, with YAML between two lines of `---` at the top that says when it is wanted."""

import re

import yaml

from openhands_sessions.core.microagents import Microagent

MOST_TRIGGERS = 50
LONGEST_TRIGGER = 100
_HEAD = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


def read_microagent(name: str, text: str) -> Microagent | None:
    """The knowledge of a file, by the name of the file where it gives itself none. A head that cannot be read counts as
    text. None where nothing is told."""
    head, content = _parts(text)
    if not content:
        return None
    given = head.get("triggers")
    triggers = tuple(
        str(trigger).strip()[:LONGEST_TRIGGER]
        for trigger in (given if isinstance(given, list) else [])[:MOST_TRIGGERS]
        if str(trigger).strip()
    )
    own = head.get("name")
    return Microagent(
        name=own.strip()[:LONGEST_TRIGGER] if isinstance(own, str) and own.strip() else name,
        type="knowledge" if triggers else "repo",
        content=content,
        triggers=triggers,
    )


def _parts(text: str) -> tuple[dict[str, object], str]:
    match = _HEAD.match(text)
    if match is None:
        return {}, text.strip()
    try:
        head = yaml.safe_load(match[1])
    except (yaml.YAMLError, RecursionError):
        return {}, text.strip()
    if head is None:
        head = {}
    if not isinstance(head, dict):
        return {}, text.strip()
    return {str(key): value for key, value in head.items()}, text[match.end() :].strip()
