"""The repository that a workspace begins with."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from openhands_sessions.core.errors import BadInput

HOSTS = {"github": "github.com", "gitlab": "gitlab.com", "bitbucket": "bitbucket.org"}
SCHEMES = ("https", "ssh", "git")
LONGEST = 2_000
_SHORT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.][A-Za-z0-9_.-]*){1,4}")
_SCP = re.compile(r"([A-Za-z0-9_.-]+@[A-Za-z0-9.-]+):(?!/)(\S+)")
_BRANCH = re.compile(r"(?![-./])(?!.*(?:\.\.|//|@\{|/\.|\.lock$|[/.]$))[^\s~^:?*\[\\\x00-\x1f\x7f]{1,250}")


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
