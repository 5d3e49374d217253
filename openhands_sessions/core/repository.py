"""The repository that a workspace begins with, and the tasks that the web client suggests in one."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from openhands_sessions.core.errors import BadInput

HOSTS = {"github": "github.com", "gitlab": "gitlab.com", "bitbucket": "bitbucket.org"}
SCHEMES = ("https", "ssh", "git")
LONGEST = 2_000
_SHORT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.][A-Za-z0-9_.-]*){1,4}")
_SCP = re.compile(r"([A-Za-z0-9_.-]+@[A-Za-z0-9.-]+):(?!/)(\S+)")
_BRANCH = re.compile(r"(?![-./])(?!.*(?:\.\.|//|@\{|/\.|\.lock$|[/.]$))[^\s~^:?*\[\\\x00-\x1f\x7f]{1,250}")
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """What a workspace begins with. `url` None: an empty repository. `name` is as the user wrote it."""

    name: str = ""
    url: str | None = None
    branch: str | None = None
    provider: str | None = None

    @property
    def local(self) -> bool:
        """Whether it lies on the machine itself: only for tests."""
        return self.url is not None and self.url.startswith("file:")


def repository(name: str, provider: str | None = None, branch: str | None = None) -> Repository:
    """A repository to clone, as `owner/name` at a provider (GitHub, if none is named) or by its address: https, ssh,
    git, or file. Raises BadInput, naming the field."""
    provider = checked_provider(provider)
    return Repository(name=name, url=_address(name, provider), branch=checked_branch(branch), provider=provider)


def checked_provider(provider: str | None) -> str | None:
    """Raises BadInput for one whose repositories are not known by `owner/name`."""
    if provider and provider not in HOSTS:
        raise BadInput("git_provider", f"must be one of {', '.join(HOSTS)}")
    return provider or None


def checked_branch(branch: str | None) -> str | None:
    """Raises BadInput for an invalid branch name."""
    if branch and not _BRANCH.fullmatch(branch):
        raise BadInput("selected_branch", "cannot be the name of a branch")
    return branch or None


def _address(name: str, provider: str | None) -> str:
    if len(name) > LONGEST or not name.isprintable() or " " in name:
        raise BadInput("repository", "cannot be the address of a repository")
    if _SHORT.fullmatch(name) and ".." not in name:
        return f"https://{HOSTS[provider or 'github']}/{name.removesuffix('.git')}.git"
    if found := _SCP.fullmatch(name):
        name = f"ssh://{found[1]}/{found[2]}"
    try:
        parts = urlsplit(name)
        host, secret = parts.hostname or "", parts.password
        _ = parts.port  # raises if it is not valid
    except ValueError:
        raise BadInput("repository", "cannot be the address of a repository") from None
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return name
    if parts.scheme not in SCHEMES or not host or host.startswith("-") or not parts.path.strip("/"):
        raise BadInput("repository", "must be owner/name, or an address that begins with https://, ssh:// or git://")
    if secret is not None or (parts.username and parts.scheme != "ssh") or (parts.username or "").startswith("-"):
        raise BadInput("repository", "must not hold credentials: keep a token as the secret GITHUB_TOKEN instead")
    return name


def task_message(kind: TaskKind, repo: str, number: int, title: str, provider: str) -> str:
    """A suggested task as a message to the agent."""
    request = _REQUEST_WORDS.get(provider, "pull request")
    text = _TASKS[kind].format(request=request, number=f"#{number}", repo=repo, title=title or "untitled")
    return f"{text[:1].upper()}{text[1:]}"
