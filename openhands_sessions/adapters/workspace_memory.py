"""Knowledge in the workspace: `AGENTS.md`, the repository's instructions and its microagents.

A microagent is a Markdown file; YAML front matter between two lines of `---` gives its triggers.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date

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
_OPEN_HEAD = re.compile(r"---[ \t]*\r?\n[ \t]*\w+[ \t]*:")


class WorkspaceMemory:
    """Reads the knowledge when a conversation starts."""

    async def recall(self, files: Workspace) -> RecalledKnowledge:
        instructions: list[str] = []
        problems: list[str] = []
        for path in NOTES:
            with suppress(FileProblem, PathRefused):
                text, found = _decoded(await files.read(path, limit=LONGEST))
                problems += [f"{path}: {problem}" for problem in found]
                if text:
                    instructions.append(f"From {path}:\n{text}")
        microagents: list[Microagent] = []
        for name in await _names(files):
            path = f"{KNOWLEDGE}/{name}"
            microagent, found = await _read(files, path, name.removesuffix(".md"))
            problems += [f"{path}: {problem}" for problem in found]
            if microagent is None:
                continue
            microagents.append(microagent)
            if microagent.type == "repo":
                instructions.append(f"From {path}:\n{microagent.content}")
        return RecalledKnowledge(
            instructions="\n\n".join(instructions), microagents=tuple(microagents), problems=tuple(problems)
        )


async def _names(files: Workspace) -> list[str]:
    try:
        listed = await files.list(KNOWLEDGE)
    except (FileProblem, PathRefused):
        return []
    return [name for name in listed if name.endswith(".md") and name.lower() != "readme.md"][:MOST]


async def _read(files: Workspace, path: str, name: str) -> tuple[Microagent | None, Sequence[str]]:
    try:
        content = await files.read(path, limit=LONGEST)
    except (FileProblem, PathRefused) as error:
        return None, (f"it is ignored, because it cannot be read: {error.message}",)
    text, badly_encoded = _decoded(content)
    microagent, problems = read_microagent(name, text)
    return microagent, (*badly_encoded, *problems)


def _decoded(content: bytes) -> tuple[str, Sequence[str]]:
    """The text as far as it can be read, and what is wrong with it."""
    try:
        return content.decode("utf-8-sig").strip(), ()
    except UnicodeDecodeError:
        text = content.decode("utf-8-sig", "replace").strip()
        return text, ("it is not in UTF-8: save it in UTF-8, or letters in it are lost",)


def read_microagent(name: str, text: str) -> tuple[Microagent | None, Sequence[str]]:
    """The microagent in a file's text, None if there is no text, and what was not understood. `name` is used if the
    front matter gives none. Front matter that is not a YAML mapping counts as text. Triggers may be a list or words
    between commas."""
    head, content, problems = _parts(text)
    if not content:
        return None, problems
    triggers, unfit = _triggers(head)
    own = head.get("name")
    microagent = Microagent(
        name=own.strip()[:LONGEST_TRIGGER] if isinstance(own, str) and own.strip() else name,
        type="knowledge" if triggers else "repo",
        content=content,
        triggers=triggers,
    )
    return microagent, (*problems, *unfit)


def _triggers(head: Mapping[str, object]) -> tuple[tuple[str, ...], Sequence[str]]:
    """Those that are words, and a problem where there are others."""
    given = head.get("triggers", head.get("trigger", []))
    listed = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else [given]
    words = [
        str(trigger).strip()[:LONGEST_TRIGGER]
        for trigger in listed
        if isinstance(trigger, str | int | float | date) and not isinstance(trigger, bool)
    ]
    used = tuple(word for word in words if word)[:MOST_TRIGGERS]
    problems = []
    if len(words) < len(listed):
        then = "the others are used" if used else "without triggers, the file is used from the start"
        problems.append(f"a trigger is not a word: write it in quotes, or take it away; {then}")
    if sum(map(bool, words)) > MOST_TRIGGERS:
        problems.append(f"only the first {MOST_TRIGGERS} triggers are used")
    return used, problems


def _parts(text: str) -> tuple[Mapping[str, object], str, Sequence[str]]:
    """The front matter, the text behind it, and why there is none where it seems to be meant."""
    match = _HEAD.match(text)
    if match is None:
        unclosed = _OPEN_HEAD.match(text) is not None
        return {}, text.strip(), ("its front matter has no end: write --- on a line behind it",) if unclosed else ()
    try:
        head = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        # PyYAML raises more than its own errors for values that do not fit their tag, such as the date 2024-13-01.
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 2}"
        return {}, text.strip(), (f"its front matter is not valid YAML{line}; all of it is used as text",)
    if head is None or isinstance(head, dict):
        return {str(key).lower(): value for key, value in (head or {}).items()}, text[match.end() :].strip(), ()
    return {}, text.strip(), ("its front matter is not a list of `key: value`; all of it is used as text",)
