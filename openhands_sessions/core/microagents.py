"""Microagents: knowledge in a repository, and the trigger words that select it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Microagent:
    """One file of knowledge. `repo` is used from the start, `knowledge` when a message contains one of its triggers."""

    name: str
    type: Literal["repo", "knowledge"]
    content: str
    triggers: tuple[str, ...] = ()


def triggered(microagents: Iterable[Microagent], message: str) -> Sequence[tuple[Microagent, str]]:
    """The microagents that a message selects, each with the first trigger found in it. Case is ignored; a trigger that
    is a word matches whole words only."""
    said = message.casefold()
    found = []
    for microagent in microagents:
        trigger = next((trigger for trigger in microagent.triggers if _is_said(trigger.casefold(), said)), None)
        if trigger is not None:
            found.append((microagent, trigger))
    return found


def _is_said(trigger: str, said: str) -> bool:
    before = r"(?<!\w)" if trigger[:1].isalnum() else ""
    after = r"(?!\w)" if trigger[-1:].isalnum() else ""
    return bool(trigger) and re.search(f"{before}{re.escape(trigger)}{after}", said) is not None
