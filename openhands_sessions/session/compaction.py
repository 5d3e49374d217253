"""Work on the history that asks the model, between two turns: it may take as long as a model call does."""

from collections.abc import Sequence

from openhands_sessions.core.errors import ModelFailure, NotAccepting
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.history_commands import Seed
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.session.agent_controllers import AgentControllers
from openhands_sessions.session.command_handler import SubmittedCommand
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.idempotency import receipt_of, turn_in

STOPPED = "this was stopped; the history says whether it has taken effect"


class Compaction:
    """One session's: of its history, or of messages of an earlier one. A message that comes meanwhile is taken up after
    it."""

    def __init__(self, stream: EventStream, controller: AgentControllers) -> None:
        self._stream = stream
        self._controller = controller

    async def compact(self, given: SubmittedCommand) -> Accepted:
        """Durable when it returns: what was compacted, or why nothing was. Raises BadInput, NotAccepting,
        StorageError."""
        events = await self._made(given)
        named = [evolve(event, author=given.author) if event.source is Source.USER else event for event in events]
        numbered = await self._stream.append(*named, receipt=receipt_of(given.key))
        return Accepted(numbered[0].id, turn_in(numbered))

    async def _made(self, given: SubmittedCommand) -> Sequence[Event]:
        try:
            if isinstance(given.command, Seed):
                return (await self._controller.seeding(given.command),)
            return await self._controller.compacting()
        except ModelFailure as failure:
            what = "the earlier messages were not summed up"
            told = what if isinstance(given.command, Seed) else "the history was not compacted"
            raise NotAccepting(f"{told}: {failure.message}") from failure
