"""Knowledge that a repository brings along, and the words that bring it up."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Microagent:
    """One file of knowledge. `repo` is told from the beginning; `knowledge` when one of its triggers is said."""

    name: str
    type: Literal["repo", "knowledge"]
    content: str
    triggers: tuple[str, ...] = ()


def triggered(microagents: Iterable[Microagent], message: str) -> Sequence[tuple[Microagent, str]]:
    """The knowledge that a message brings up, each with the first of its triggers that is in it. Upper and lower case
    are one; a trigger that is a word is found as a word."""
    said = message.casefold()
    found = []
    for microagent in microagents:
        trigger = next((trigger for trigger in microagent.triggers if _is_said(trigger.casefold(), said)), None)
        if trigger is not None:
            found.append((microagent, trigger))
    return found


def _is_said(trigger: str, said: str) -> bool:
    before = r"(?<!\w)" if trigger[:1].isalnum() else ""
    behind = r"(?!\w)" if trigger[-1:].isalnum() else ""
    return bool(trigger) and re.search(f"{before}{re.escape(trigger)}{behind}", said) is not None
