"""The commands that make a workspace a repository."""

import shlex
from urllib.parse import urlsplit

from openhands_sessions.core.repository import HOSTS, SCHEMES, Repository

_CREDENTIALS = '!f() {{ test "$1" = get && test -n "${name}" && echo username={user} && echo "password=${name}"; }}; f'
_USERS = {"github": "x-access-token", "gitlab": "oauth2", "bitbucket": "x-token-auth"}


def clone_commands(wanted: Repository) -> str:
    """The commands that make the workspace this repository; running them again, also after half of them, does no harm.
    They run in a shell of their own, ask nobody anything, and tell what went wrong as git does."""
    git = "git -c core.hooksPath=/dev/null -c safe.directory='*'"
    if wanted.url is None:
        return f"( set -e; {git} init -q -b {shlex.quote(wanted.branch or 'main')} . )"
    schemes = ("file",) if wanted.local else SCHEMES
    steps = [
        "set -e",
        f"export GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true GIT_ALLOW_PROTOCOL={':'.join(schemes)}",
        'export GIT_SSH_COMMAND="ssh -oBatchMode=yes -oStrictHostKeyChecking=accept-new"',
        f'git() {{ command {git} {_credential(wanted)}"$@"; }}',
        "git init -q .",
        "git remote remove origin 2>/dev/null || :",
        f"git remote add origin -- {shlex.quote(wanted.url)}",
        "git fetch -q origin",
        "git remote set-head origin --auto >/dev/null 2>&1 || :",
        f"branch={shlex.quote(wanted.branch or '')}",
        ': "${branch:=$(git symbolic-ref -q --short refs/remotes/origin/HEAD | cut -d/ -f2-)}"',
        'if [ -n "$branch" ]; then git checkout -q -f -B "$branch" --track "origin/$branch"; fi',
    ]
    return "( " + "; ".join(steps) + " )"


def _credential(wanted: Repository) -> str:
    """The user's token, which the sandbox has as a secret: it is told to git, and stands in no address."""
    host = None if wanted.url is None else urlsplit(wanted.url).hostname
    for provider, known in HOSTS.items():
        if host == known:
            helper = _CREDENTIALS.format(name=f"{provider.upper()}_TOKEN", user=_USERS[provider])
            return f"-c {shlex.quote(f'credential.https://{known}.helper={helper}')} "
    return ""
