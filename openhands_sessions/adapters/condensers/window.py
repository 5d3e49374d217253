"""Keeps the beginning and the newest part, cut between whole tool pairs, with a summary by the model between them."""

from collections.abc import Iterator, Sequence

from openhands_sessions.core.dialogue import dialogue
from openhands_sessions.core.events.actions import CondensationAction, MessageAction, SystemAction
from openhands_sessions.core.events.event import Event, Observation, Source
from openhands_sessions.core.events.own import TurnEndedObservation
from openhands_sessions.core.view import ANSWERED
from openhands_sessions.ports.agent import Agent
from openhands_sessions.ports.condenser import Condensation
from openhands_sessions.ports.model import ChatMessage

LEFT_OUT = "(Older messages and results are left out.)"
KEPT = 0.5
"""The part of `max_size` that stays behind the cut."""


class WindowCondenser:
    """`instruction` is what the model is told when it is to summarise."""

    def __init__(self, instruction: str) -> None:
        self._instruction = instruction

    async def condense(self, events: Sequence[Event], max_size: int, agent: Agent) -> Condensation | None:
        if len(events) <= max_size:
            return None
        # No more at once than a model is shown otherwise: a replay, or an import, may have brought many times that.
        most = beginning(events) + max_size
        first, last = cut(events, min(len(events) - int(max_size * KEPT), most))
        forgotten = events[first:last]
        told = dialogue(forgotten)
        if not told:
            return None
        earlier = [event.summary for event in events if isinstance(event, CondensationAction) and event.summary]
        before: list[ChatMessage] = [{"role": "user", "content": f"Summary so far:\n{text}"} for text in earlier[-1:]]
        reply = await agent.summarize([*before, *told], self._instruction)
        summary = LEFT_OUT if reply is None or not reply.text.strip() else reply.text.strip()
        return Condensation(start=forgotten[0].id, end=forgotten[-1].id, summary=summary, reply=reply)


def beginning(events: Sequence[Event]) -> int:
    """How many events at the beginning are kept: the prompt and the first message."""
    kept = 0
    for place, event in enumerate(events):
        if isinstance(event, MessageAction) and event.source is Source.USER:
            return place + 1
        if isinstance(event, SystemAction):
            kept = place + 1
    return kept


def cut(events: Sequence[Event], wanted: int) -> tuple[int, int]:
    """What to forget: from behind the beginning to the last place up to `wanted`, parting no reply from its calls and
    results."""
    first = beginning(events)
    places = [place for place in _seams(events) if first <= place <= wanted]
    return (places[0], places[-1]) if places else (first, first)


def _seams(events: Sequence[Event]) -> Iterator[int]:
    """The places that lie between whole replies."""
    last_of = {response: place for place, event in enumerate(events) if (response := _response(event))}
    replies: set[str] = set()
    waiting: set[int] = set()
    for place, event in enumerate(events):
        if not waiting and not replies:
            yield place
        if response := _response(event):
            replies.add(response)
            if last_of[response] == place:
                replies.discard(response)
        if isinstance(event, ANSWERED):
            waiting.add(event.id)
        if isinstance(event, Observation) and event.cause is not None:
            waiting.discard(event.cause)
        if isinstance(event, TurnEndedObservation):
            waiting.clear()


def _response(event: Event) -> str:
    if event.tool_call_metadata is not None:
        return str(event.tool_call_metadata.model_response.get("id") or "")
    return str(getattr(event, "response_id", "") or "")
