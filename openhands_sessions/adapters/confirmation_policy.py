"""Confirmation mode, the user's rules, and the rules that grade the risk of an action.

The grades inform the user who confirms. They are no protection against a model that means harm.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from openhands_sessions.core.call_prices import price_of
from openhands_sessions.core.confirmation_rules import ConfirmationRule, first_match
from openhands_sessions.core.events.actions import (
    UNKNOWN_RISK,
    BrowseAction,
    EditAction,
    McpAction,
    ReadAction,
    RunAction,
    RunIpythonAction,
    WriteAction,
)
from openhands_sessions.core.events.event import Action
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.policy import Verdict

LOW, MEDIUM, HIGH = 0, 1, 2

_LOOKING = frozenset(
    (
        *("basename", "cat", "cd", "cmp", "column", "comm", "cut", "date", "df", "diff", "dirname", "du", "echo"),
        *("false", "find", "grep", "head", "id", "less", "ls", "md5sum", "nl", "nproc", "od", "printf", "ps", "pwd"),
        *("readlink", "realpath", "rg", "seq", "sha256sum", "sleep", "sort", "stat", "tail", "test", "tr", "tree"),
        *("true", "type", "uname", "uptime", "wc", "which", "whoami"),
    )
)
"""Commands that change nothing by themselves."""
_LOOKING_GIT = frozenset(["blame", "diff", "log", "ls-files", "rev-parse", "show", "status"])
_CHANGING = re.compile(
    r"(?:^| )(?:-(?:delete|exec\w*|ok\w*|fprint\w*|fls|o\S*|s\S*)|--(?:output|pre|set|compress-program)\S*)"
)
"""Options that make a read-only command change something."""
_ABLE = frozenset(("date", "find", "git", "rg", "sort", "tree"))
"""Read-only commands that have such options."""
_JOINTS = frozenset(("&&", "||", "|", ";", "\n"))
_SIGNS = "();<>|&\n"
_WITHIN = re.compile(r"`|\$\(|\$\{(?!\w+\})|\$['\"]|(?:^|\s)#")
"""Commands inside commands, and syntax that bash reads differently than `shlex`: never counted as read-only."""
_SILENT = re.compile(r"2>&1|[12&]?>\s*/dev/null")
_HARM = tuple(
    re.compile(pattern)
    for pattern in (
        r"\brm\b[^;|&\n]*\s-\w*[rRf][^;|&\n]*\s(?:/|~|\$HOME|\*|\.\.)",
        r"\b(?:mkfs\S*|fdisk|parted|wipefs|shred|shutdown|reboot|halt|poweroff|insmod|modprobe|crontab)\b",
        r"\bdd\b.*\bof=",
        r">\s*/(?:dev/(?!null\b|std|tty\b)|etc/|boot/|proc/|sys/)",
        r"\b(?:sudo|su|doas|chroot|nsenter|unshare|setcap|iptables|nft)\b",
        r"\b(?:curl|wget)\b[^;\n]*\|\s*(?:\w+\s+)*(?:ba|z|da|k)?sh\b",
        r"\b(?:curl|wget|nc|ncat|socat|scp|rsync)\b.*(?:@|--data|-d\b|-F\b|-T\b|--upload-file|-e\b)",
        r"\bbase64\b.*-\w*d.*\|\s*(?:ba)?sh\b",
        r"\bgit\b.*\bpush\b.*(?:--force|-f\b|--mirror|--delete)",
        r"\bgit\b.*\breset\b.*--hard|\bgit\b.*\bclean\b.*-\w*f",
        r"\bchmod\b.*(?:-R\b.*777|\+s\b|777\s+/)",
        r"\bkill(?:all)?\b.*\s-?1\b|\bpkill\b",
        r":\(\)\s*\{",
        r"(?:\.ssh/|\.aws/|\.gnupg/|\.netrc|\.git-credentials|id_rsa)",
        r"/etc/(?:passwd|shadow|sudoers)|/proc/\d+/(?:environ|mem)",
        r"169\.254\.169\.254|docker\.sock",
        r"(?i)\bdrop\s+(?:table|database)\b|\btruncate\s+table\b",
    )
)
_OWN_FILES = re.compile(r"(?:^|/)(?:\.git/|\.ssh/|\.bash\w*$|\.profile$|\.zsh\w*$|\.netrc$)")
"""Files that change what other commands do."""
CHANGES = (RunAction, RunIpythonAction, EditAction, WriteAction, McpAction)
"""What the user is asked about; other actions never wait."""


class ConfirmationMode:
    """The first rule that matches decides, but what the operator's rules deny is denied. Where none matches, it asks
    before an action that changes something; with the analyzer `rules`, not if its risk is low. Recurring work always
    asks, and a price counts unless a rule allows or denies the call."""

    def graded(self, action: Action, settings: SessionSettings) -> Action:
        return with_risk(action) if settings.security_analyzer == "rules" else action

    def verdict(
        self, action: Action, settings: SessionSettings, remembered: Sequence[ConfirmationRule] = ()
    ) -> Verdict:
        given, call = self._by_rules(action, settings, remembered), action.tool_call_metadata
        if call is None or given.decision == "deny" or not isinstance(action, CHANGES):
            return given
        price = price_of(settings.call_prices, call.function_name, call.arguments)
        if price is None:
            return given
        if price.recurring:
            return Verdict("ask", given.rule)
        return given if _allowed(given) else replace(given, price=price.micro_dollars)

    def _by_rules(self, action: Action, settings: SessionSettings, remembered: Sequence[ConfirmationRule]) -> Verdict:
        call, risk = action.tool_call_metadata, getattr(action, "security_risk", None)
        rule = None
        if call is not None:
            told = call.function_name, call.arguments, risk
            rule = first_match(settings.operators_rules, *told)
            if rule is None or rule.decision != "deny":
                rule = first_match((*remembered, *settings.confirmation_rules), *told)
        if rule is None:
            return Verdict("ask" if _asks(action, risk, settings) else "allow")
        if rule.decision == "ask" and not isinstance(action, CHANGES):
            return Verdict("allow", rule)
        return Verdict(rule.decision, rule)


def _allowed(verdict: Verdict) -> bool:
    """Whether a rule says so."""
    return verdict.rule is not None and verdict.decision == "allow"


def _asks(action: Action, risk: int | None, settings: SessionSettings) -> bool:
    if not settings.confirmation_mode or not isinstance(action, CHANGES):
        return False
    return settings.security_analyzer != "rules" or risk != LOW


def with_risk(action: Action) -> Action:
    """The action with the risk by the rules, or the one that the model gave if that is higher."""
    risk = risk_of(action)
    if risk == UNKNOWN_RISK or not hasattr(action, "security_risk"):
        return action
    change: dict[str, Any] = {"security_risk": max(risk, action.security_risk)}
    return replace(action, **change)


def risk_of(action: Action) -> int:
    """LOW, MEDIUM or HIGH; UNKNOWN_RISK for kinds without a rule."""
    match action:
        case RunAction(command=command):
            return _of_command(command)
        case ReadAction():
            return LOW
        case EditAction(path=path) | WriteAction(path=path):
            return HIGH if _OWN_FILES.search(str(PurePosixPath(path))) else MEDIUM
        case RunIpythonAction() | BrowseAction():
            return MEDIUM
        case _:
            return UNKNOWN_RISK


def _of_command(command: str) -> int:
    if any(pattern.search(command) for pattern in _HARM):
        return HIGH
    if _WITHIN.search(command):
        return MEDIUM
    try:
        parts = _parts(_SILENT.sub("", command))
    except ValueError:
        return MEDIUM
    return LOW if all(_only_looks(part) for part in parts) else MEDIUM


def _parts(command: str) -> list[list[str]]:
    """The words of each joined command. A redirection, a group or a background job becomes a command of its own, whose
    name is not in `_LOOKING`. Raises ValueError for an unclosed quote."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=_SIGNS)
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    parts: list[list[str]] = [[]]
    for word in lexer:
        if word in _JOINTS or not word.strip():
            parts.append([])
        elif set(word) <= set(_SIGNS):
            parts.append([word])
        else:
            parts[-1].append(word)
    return parts


def _only_looks(words: list[str]) -> bool:
    if not words:
        return True
    name, *rest = words
    if rest == ["--version"]:
        return True
    looks = name in _LOOKING or (name == "git" and rest[:1] != [] and rest[0] in _LOOKING_GIT)
    return looks and not (name in _ABLE and _CHANGING.search(" ".join(rest)))
