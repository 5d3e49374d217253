"""Knowledge in the workspace: `AGENTS.md`, the repository's instructions and its microagents.

A microagent is a Markdown file; YAML front matter between two lines of `---` gives its triggers.
"""

import re
from contextlib import suppress

import yaml

from openhands_sessions.core.errors import FileProblem, PathRefused
from openhands_sessions.core.microagents import Microagent
from openhands_sessions.ports.memory import RecalledKnowledge
from openhands_sessions.ports.runtime import Workspace

NOTES = ("AGENTS.md", ".openhands_instructions")
KNOWLEDGE = ".openhands/microagents"
LONGEST = 64 * 1024
"""Bytes of one file; a longer file is ignored."""
MOST = 64
"""Microagents that are read, the first by name."""
MOST_TRIGGERS = 50
LONGEST_TRIGGER = 100
_HEAD = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


class WorkspaceMemory:
    """Reads the knowledge when a conversation starts."""

    async def recall(self, files: Workspace) -> RecalledKnowledge:
        instructions: list[str] = []
        for path in NOTES:
            if text := await _text(files, path):
                instructions.append(f"From {path}:\n{text}")
        microagents: list[Microagent] = []
        for name in await _names(files):
            path = f"{KNOWLEDGE}/{name}"
            microagent = read_microagent(name.removesuffix(".md"), await _text(files, path))
            if microagent is None:
                continue
            microagents.append(microagent)
            if microagent.type == "repo":
                instructions.append(f"From {path}:\n{microagent.content}")
        return RecalledKnowledge(instructions="\n\n".join(instructions), microagents=tuple(microagents))


async def _names(files: Workspace) -> list[str]:
    try:
        listed = await files.list(KNOWLEDGE)
    except (FileProblem, PathRefused):
        return []
    return [name for name in listed if name.endswith(".md") and name.lower() != "readme.md"][:MOST]


async def _text(files: Workspace, path: str) -> str:
    try:
        content = await files.read(path, limit=LONGEST)
    except (FileProblem, PathRefused):
        return ""
    return content.decode("utf-8", "replace").strip()


def read_microagent(name: str, text: str) -> Microagent | None:
    """The microagent in a file's text; `name` is used if the front matter gives none. Front matter that is not a YAML
    mapping counts as text. None if there is no text."""
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
    if match := _HEAD.match(text):
        with suppress(yaml.YAMLError, RecursionError):
            head = yaml.safe_load(match[1])
            if head is None or isinstance(head, dict):
                return {str(key): value for key, value in (head or {}).items()}, text[match.end() :].strip()
    return {}, text.strip()
