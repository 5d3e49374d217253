"""Compacts the history when the user asks: work between two turns, which may take as long as a model call does."""

from openhands_sessions.core.errors import ModelFailure, NotAccepting
from openhands_sessions.core.events.own import HistoryCompactedAction
from openhands_sessions.core.evolve import evolve
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.session.agent_controller import AgentController
from openhands_sessions.session.command_handler import SubmittedCommand
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.idempotency import receipt_of, turn_in

STOPPED = "the compaction was stopped; the history says whether it has taken effect"


class Compaction:
    """One session's. A message that comes meanwhile is taken up after it."""

    def __init__(self, stream: EventStream, controller: AgentController) -> None:
        self._stream = stream
        self._controller = controller

    async def compact(self, given: SubmittedCommand) -> Accepted:
        """Durable when it returns: what was compacted, or why nothing was. Raises NotAccepting, StorageError."""
        try:
            events = await self._controller.compacting()
        except ModelFailure as failure:
            raise NotAccepting(f"the history was not compacted: {failure.message}") from failure
        named = [
            evolve(event, author=given.author) if isinstance(event, HistoryCompactedAction) else event
            for event in events
        ]
        numbered = await self._stream.append(*named, receipt=receipt_of(given.key))
        return Accepted(numbered[0].id, turn_in(numbered))
