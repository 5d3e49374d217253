"""Rules that say of a tool call whether it runs, waits for the user's answer, or is refused. Pure."""

import json
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.json_text import read_json
from openhands_sessions.core.texts import Line

LONGEST_PATTERN = 4_000
MOST_RULES = 100
"""Of one person's settings, or remembered in one conversation."""
MAIN_ARGUMENTS = {"execute_bash": "command", "run_ipython": "code", "str_replace_editor": "path"}
"""By tool."""
_SIGNS = re.compile(r"[*?[]")
_RISKS = {0: "low", 1: "medium", 2: "high"}
_JOINTS = frozenset("`$;&|<>()\n")
"""What joins commands or hides one in another: an `allow` with wildcards must not let more in than it shows."""


class ConfirmationRule(BaseModel):
    """What is decided about calls of a tool. `tool` and `pattern` are shell patterns (`*`, `?`, `[…]`), matched with
    upper and lower case told apart. `pattern` is compared with the call's main argument: the command, the code, or the
    path of a file. Input for a running command, and other tools, have all their arguments there: as JSON with sorted
    keys and without spaces."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: Line = "*"
    pattern: str | None = Field(None, max_length=LONGEST_PATTERN)
    risk: Literal["low", "medium", "high", "unknown", "any"] = "any"
    decision: Literal["allow", "ask", "deny"]

    def matches(self, tool: str, argument: str, risk: int | None) -> bool:
        """Whether it decides about a call; `argument` is the main one, `risk` is -1 or None where it is not known."""
        known = _RISKS.get(-1 if risk is None else risk, "unknown")
        if self.risk not in ("any", known) or not fnmatchcase(tool, self.tool):
            return False
        if self.pattern is None:
            return True
        if self.decision == "allow" and not _JOINTS.isdisjoint(argument):
            return self.pattern == _escaped(argument)
        return fnmatchcase(argument, self.pattern)

    def describe(self) -> str:
        """The rule in words, for a model and its user."""
        parts = [f"tool {self.tool!r}"]
        if self.pattern is not None:
            parts.append(f"pattern {self.pattern!r}")
        if self.risk != "any":
            parts.append(f"risk {self.risk}")
        return f"{self.decision} for {', '.join(parts)}"


def first_match(
    rules: Iterable[ConfirmationRule], tool: str, arguments: str, risk: int | None
) -> ConfirmationRule | None:
    """The rule that decides about a call, whose arguments are JSON text; None where none does."""
    argument: str | None = None
    for rule in rules:
        if argument is None:
            argument = main_argument(tool, arguments)
        if rule.matches(tool, argument, risk):
            return rule
    return None


def main_argument(tool: str, arguments: str) -> str:
    """What a rule's `pattern` is compared with."""
    try:
        given = read_json(arguments.strip() or "{}")
    except ValueError:
        return arguments
    if not isinstance(given, dict):
        return arguments
    main = given.get(MAIN_ARGUMENTS.get(tool, ""))
    is_input = given.get("is_input") not in (None, False, "false")
    if isinstance(main, str) and not is_input:
        return main
    return json.dumps(given, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def remembered_pattern(tool: str, arguments: str) -> str:
    """The pattern that matches calls with exactly this main argument. Raises BadInput where it is too long."""
    pattern = _escaped(main_argument(tool, arguments))
    if len(pattern) > LONGEST_PATTERN:
        raise BadInput("always", f"is not possible: a rule holds at most {LONGEST_PATTERN} characters of an argument")
    return pattern


def remembered_rule(tool: str, pattern: str) -> ConfirmationRule:
    """The rule that allows calls of exactly this tool."""
    return ConfirmationRule(tool=_escaped(tool), pattern=pattern, decision="allow")


def _escaped(text: str) -> str:
    """The pattern that matches this text alone."""
    return _SIGNS.sub(r"[\g<0>]", text)
