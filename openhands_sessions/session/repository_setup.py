"""The workspace's repository, fetched once inside the sandbox before the agent begins."""

from dataclasses import replace

from openhands_sessions.core.errors import RuntimeFailure
from openhands_sessions.core.events.actions import RunAction
from openhands_sessions.core.events.event import Event, Observation, Source
from openhands_sessions.core.events.observations import RunObservation
from openhands_sessions.core.repository import Repository
from openhands_sessions.ports.gateway import Status
from openhands_sessions.ports.runtime import WORKSPACE
from openhands_sessions.session.action_runner import ActionRunner, SandboxLost
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.git_commands import clone_commands

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
        found: Event | None = None
        for number in range(self._stream.view.head, -1, -1):
            found = await self._stream.event(number)
            if isinstance(found, RunObservation):
                return _well(found)
        return False

    async def _observed(self, wanted: Repository) -> Observation:
        left = self._stream.view.open_actions
        try:
            if left:
                action = await self._stream.event(left[0])
                assert isinstance(action, RunAction)  # nothing else comes before the agent
                observation = await self._actor.recover(action)
            else:
                [recorded] = await self._stream.append(_action(wanted))
                assert isinstance(recorded, RunAction)  # what comes back is what went in, numbered
                observation = await self._actor.carry_out(recorded)
        except SandboxLost as gone:
            observation = gone.observation
        [recorded_too] = await self._stream.append(replace(observation, source=Source.ENVIRONMENT))
        assert isinstance(recorded_too, Observation)
        return recorded_too


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
