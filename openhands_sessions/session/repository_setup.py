"""The workspace's repository, fetched once inside the sandbox before the agent begins."""

import shlex
from dataclasses import replace
from urllib.parse import urlsplit

from openhands_sessions.core.errors import RuntimeFailure
from openhands_sessions.core.events.actions import RunAction
from openhands_sessions.core.events.event import Observation, Source
from openhands_sessions.core.events.observations import RunObservation
from openhands_sessions.core.repository import HOSTS, SCHEMES, Repository
from openhands_sessions.ports.gateway import Status
from openhands_sessions.ports.runtime import WORKSPACE
from openhands_sessions.session.action_runner import ActionRunner, SandboxLost
from openhands_sessions.session.event_stream import EventStream

LIMIT = 280.0
"""Seconds that a repository may take."""
_SHOWN = 500


class RepositorySetup:
    """A hidden action of the environment like any other: known by its key, so that it happens exactly once, whatever
    ends meanwhile. One that failed is tried again by the next session."""

    def __init__(self, stream: EventStream, actor: ActionRunner) -> None:
        self._stream = stream
        self._actor = actor

    async def take(self, wanted: Repository) -> None:
        """Returns when the repository is there. Raises RuntimeFailure that says why it is not."""
        if await self._done():
            return
        self._stream.publish_transient(Status("info", "STATUS$SETTING_UP_WORKSPACE", _told(wanted)))
        observation = await self._observed(wanted)
        if not _well(observation):
            lines = [line for line in observation.content.splitlines() if line.strip()]
            raise RuntimeFailure(f"the repository could not be set up: {' '.join(lines[-3:])[-_SHOWN:]}")

    async def _done(self) -> bool:
        for number in range(self._stream.view.head, -1, -1):
            found = await self._stream.event(number)
            if isinstance(found, RunObservation):
                return _well(found)
        return False

    async def _observed(self, wanted: Repository) -> Observation:
        left = self._stream.view.open_actions
        try:
            if left:
                # Nothing else comes before the agent.
                observation = await self._actor.recover(await self._stream.event_of(RunAction, left[0]))
            else:
                observation = await self._actor.carry_out(await self._stream.append_one(_action(wanted)))
        except SandboxLost as gone:
            observation = gone.observation
        return await self._stream.append_one(replace(observation, source=Source.ENVIRONMENT))


def _action(wanted: Repository) -> RunAction:
    return RunAction(
        command=clone_commands(wanted),
        source=Source.ENVIRONMENT,
        message=_told(wanted),
        hidden=True,
        blocking=True,
        cwd=WORKSPACE,
        rest={"timeout": LIMIT},
    )


def _well(observation: Observation) -> bool:
    return isinstance(observation, RunObservation) and observation.metadata.exit_code == 0


def _told(wanted: Repository) -> str:
    return "Making an empty repository" if wanted.url is None else f"Cloning {wanted.name}"


_CREDENTIALS = '!f() {{ test "$1" = get && test -n "${name}" && echo username={user} && echo "password=${name}"; }}; f'
_USERS = {"github": "x-access-token", "gitlab": "oauth2", "bitbucket": "x-token-auth"}


def clone_commands(wanted: Repository) -> str:
    """The commands that make the workspace this repository; running them again, also after half of them, does no harm.
    They run in a shell of their own, never prompt, and report errors as git does."""
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
