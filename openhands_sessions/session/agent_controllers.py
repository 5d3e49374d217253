"""The controllers of one conversation's agents: each turn is taken by the one whose turn it is."""

from collections.abc import Mapping, Sequence

from openhands_sessions.core.errors import UnknownAgent
from openhands_sessions.core.events.event import Action, AgentState, Event
from openhands_sessions.core.events.handoff import HandedOverObservation
from openhands_sessions.core.history_commands import Seed
from openhands_sessions.session.agent_controller import AgentController
from openhands_sessions.session.event_stream import EventStream


class AgentControllers:
    """By the agents' names, the first one first; the name of an agent that is the only one is None."""

    def __init__(self, stream: EventStream, controllers: Mapping[str | None, AgentController]) -> None:
        self._stream = stream
        self._controllers = controllers
        self._first = next(iter(controllers.values()))

    def named(self, agent: str | None) -> str | None:
        """The agent that a message is for which names `agent`. Raises UnknownAgent for one that there is not."""
        if agent is None:
            return next(iter(self._controllers))
        if agent not in self._controllers:
            raise UnknownAgent(agent, (name for name in self._controllers if name is not None))
        return agent

    def sees(self, agent: str | None) -> bool:
        """Whether this agent, or the first one, can look at images."""
        return self._controllers.get(agent, self._first).vision

    def edited(self, pending: Action, arguments: str) -> Action:
        """See `AgentController.edited`."""
        return self._current.edited(pending, arguments)

    def requested(self, question: Action) -> Action:
        """See `AgentController.requested`."""
        return self._current.requested(question)

    async def take_turn(self, *, resumed: bool = False) -> None:
        """See `AgentController.take_turn`. Where an agent hands over, the other one goes on."""
        await self._current.take_turn(resumed=resumed)
        while (agent := self._stream.view.handing_to) is not None and self._stream.view.owed:
            await self._stream.append(HandedOverObservation(agent=agent))
            await self._current.take_turn()

    async def compacting(self) -> Sequence[Event]:
        """See `AgentController.compacting`; the first agent sums up."""
        return await self._first.compacting()

    async def seeding(self, command: Seed) -> Event:
        """See `AgentController.seeding`; the first agent sums up."""
        return await self._first.seeding(command)

    async def wind_up(self, last: AgentState) -> None:
        """See `AgentController.wind_up`."""
        await self._current.wind_up(last)

    @property
    def _current(self) -> AgentController:
        return self._controllers.get(self._stream.view.agent_name, self._first)
