"""Rules for short texts from outside that reach command lines, environments or headers; titles; suggested tasks."""

import re
import unicodedata
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, SecretStr

LONGEST_NAME = 256
LONGEST_ADDRESS = 2_000
LONGEST_KEY = 10_000
LONGEST_ARGUMENT = 16 * 1024
_NOT_IN_A_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, lone surrogates and separators of lines."""
_PASSED_OVER = " .,:;<>\"\\'"
"""What git strips from a name; it refuses a name of nothing else."""
LONGEST_TITLE = 50
"""Characters of a title that a model makes; users may give longer ones."""
MOST_WORDS = 6
"""Of a title that a model makes."""
LONGEST_BEGINNING = 40
"""Characters of a message that stand for a title where no model makes one."""
_QUOTES = '"\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a\u300c\u300d'
_AROUND = f"{_QUOTES}'\u2018\u2019\u201a`*#_~> \t.:-"
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(rf"\*\*|__|~~|`|[{_QUOTES}]|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)")
"""Emphasis, code and quotation marks of Markdown; not the `_` and `*` inside a name or between numbers."""
TaskKind = Literal[
    "MERGE_CONFLICTS", "FAILING_CHECKS", "UNRESOLVED_COMMENTS", "OPEN_ISSUE", "OPEN_PR", "CREATE_MICROAGENT"
]
_REQUEST_WORDS = {"gitlab": "merge request"}
_TASKS: dict[TaskKind, str] = {
    "MERGE_CONFLICTS": (
        "{request} {number} of {repo} ({title}) cannot be merged: it is in conflict with the branch that it is for. "
        "Check its branch out, merge the other one into it, and solve each conflict so that what both sides meant is "
        "kept. Run the tests, then push."
    ),
    "FAILING_CHECKS": (
        "The checks of {request} {number} of {repo} ({title}) fail. Check its branch out, find out from their logs and "
        "by running them here what is wrong, mend the cause and not the check, and push once they pass."
    ),
    "UNRESOLVED_COMMENTS": (
        "{request} {number} of {repo} ({title}) has review comments that nobody has answered. Read each of them. "
        "Change what it asks for, or say why it should stay as it is. Run the tests, then push, and tell me what "
        "became of each comment."
    ),
    "OPEN_ISSUE": (
        "Work on issue {number} of {repo} ({title}). Read the issue and the code that it is about, make the smallest "
        "change that settles it, with a test, on a branch of its own, and open a {request} that names the issue."
    ),
    "OPEN_PR": (
        "Look at {request} {number} of {repo} ({title}). Check its branch out, run the tests, and tell me what it "
        "does, what it lacks, and what has to happen before it can be merged."
    ),
    "CREATE_MICROAGENT": (
        "Issue {number} of {repo} ({title}) asks for something that agents should know about the repository. Write it "
        "down in a file below `.openhands/microagents/`, short and true to the code, on a branch of its own, and open "
        "a {request}."
    ),
}


def _line(text: str) -> str:
    if any(unicodedata.category(letter) in _NOT_IN_A_LINE for letter in text):
        raise ValueError("must be one line without control characters")
    return text


def _address(text: str) -> str:
    if any(letter.isspace() for letter in _line(text)):
        raise ValueError("must not have blanks in it")
    return text


def _key(text: str) -> str:
    if not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError("must be printable ASCII without blanks around it: it goes into a header")
    return text


def _secret_key(key: SecretStr) -> SecretStr:
    _key(key.get_secret_value())
    return key


def _argument(text: str) -> str:
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("must be text without NUL that can be encoded as UTF-8")
    return text


def _git_name(text: str) -> str:
    if text and not text.strip(_PASSED_OVER):
        raise ValueError("must have more in it than what git strips")
    return text


Line: TypeAlias = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_line)]
"""A name."""
ModelName: TypeAlias = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(_line)]
"""A model's name; not empty."""
GitName: TypeAlias = Annotated[Line, AfterValidator(_git_name)]
"""Name of a git author; empty for none."""
Address: TypeAlias = Annotated[str, Field(max_length=LONGEST_ADDRESS), AfterValidator(_address)]
"""A URL, or the name of an image."""
Key: TypeAlias = Annotated[str, Field(max_length=LONGEST_KEY), AfterValidator(_key)]
SecretKey: TypeAlias = Annotated[SecretStr, Field(max_length=LONGEST_KEY), AfterValidator(_secret_key)]
"""An API key, which is sent in a header."""
Argument: TypeAlias = Annotated[str, Field(max_length=LONGEST_ARGUMENT), AfterValidator(_argument)]
"""An argument of a command line, or the value of an environment variable."""


def made_title(text: str) -> str | None:
    """A model's answer as a title: its first line without Markdown and quotation marks, at most six words; None where
    nothing is left."""
    line = next((line for line in text.splitlines() if line.strip(_AROUND)), "")
    line = re.sub(r"^(?:title|titel)\s*:", "", line.strip(_AROUND), flags=re.IGNORECASE)
    line = _MARKS.sub("", _LINK.sub(r"\1", line))
    words = " ".join(line.split()).strip(_AROUND).split()
    return _cut(" ".join(words[:MOST_WORDS]), LONGEST_TITLE, whole=len(words) <= MOST_WORDS) or None


def first_words(message: str) -> str | None:
    """A title made of a message's beginning; None for a message without words."""
    return _cut(" ".join(message.split()), LONGEST_BEGINNING) or None


def _cut(text: str, longest: int, *, whole: bool = True) -> str:
    """Between words where that is possible, with an ellipsis where something is left out: also where the text is not
    the `whole` one."""
    if whole and len(text) <= longest:
        return text
    words = text if len(text) < longest else text[: longest - 1].rpartition(" ")[0] or text[: longest - 1]
    return words.rstrip(" ,;:.") + "…"


def task_message(kind: TaskKind, repo: str, number: int, title: str, provider: str) -> str:
    """A suggested task as a message to the agent."""
    request = _REQUEST_WORDS.get(provider, "pull request")
    text = _TASKS[kind].format(request=request, number=f"#{number}", repo=repo, title=title or "untitled")
    return f"{text[:1].upper()}{text[1:]}"
