"""Keeps the beginning and the newest part, cut between whole tool pairs, with a summary by the model between them."""

from collections.abc import Sequence

from openhands_sessions.core.dialogue import dialogue
from openhands_sessions.core.events.actions import CondensationAction, MessageAction, SystemAction
from openhands_sessions.core.events.event import Action, Event, Observation, Source
from openhands_sessions.core.events.observations import TurnEndedObservation
from openhands_sessions.ports.agent import Agent
from openhands_sessions.ports.condenser import Condensed
from openhands_sessions.ports.model import ChatMessage

LEFT_OUT = "(Older messages and results are left out.)"
KEPT = 0.5
"""The part of `max_size` that stays behind the cut."""


class WindowCondenser:
    """`instruction` is what the model is told when it is to summarise."""

    def __init__(self, instruction: str) -> None:
        self._instruction = instruction

    async def condense(self, events: Sequence[Event], max_size: int, agent: Agent) -> Condensed | None:
        if len(events) <= max_size:
            return None
        first = beginning(events)
        last = cut(events, first, len(events) - int(max_size * KEPT))
        if last <= first:
            return None
        forgotten = events[first:last]
        earlier = [event.summary for event in events if isinstance(event, CondensationAction) and event.summary]
        before: list[ChatMessage] = [{"role": "user", "content": f"Summary so far:\n{text}"} for text in earlier[-1:]]
        reply = await agent.summarize([*before, *dialogue(forgotten)], self._instruction)
        summary = LEFT_OUT if reply is None or not reply.text.strip() else reply.text.strip()
        return Condensed(start=forgotten[0].id, end=forgotten[-1].id, summary=summary, reply=reply)


def beginning(events: Sequence[Event]) -> int:
    """How many events at the beginning are kept: the prompt and the first message."""
    for place, event in enumerate(events):
        if isinstance(event, MessageAction) and event.source is Source.USER:
            return place + 1
        if isinstance(event, Action) and not isinstance(event, SystemAction | MessageAction):
            return place
    return 0


def cut(events: Sequence[Event], first: int, wanted: int) -> int:
    """Where the kept part begins: the last place up to `wanted` that parts no reply from its calls and results."""
    safe = first
    replies: set[str] = set()
    waiting: set[int] = set()
    last_of: dict[str, int] = {}
    for place, event in enumerate(events):
        if response := _response(event):
            last_of[response] = place
    for place, event in enumerate(events[: wanted + 1]):
        if place >= first and not waiting and not replies:
            safe = place
        if response := _response(event):
            replies.add(response)
            if last_of[response] == place:
                replies.discard(response)
        if isinstance(event, Action) and event.tool_call_metadata is not None:
            waiting.add(event.id)
        if isinstance(event, Observation) and event.cause is not None:
            waiting.discard(event.cause)
        if isinstance(event, TurnEndedObservation):
            waiting.clear()
    return safe


def _response(event: Event) -> str:
    if event.tool_call_metadata is not None:
        return str(event.tool_call_metadata.model_response.get("id") or "")
    return str(getattr(event, "response_id", "") or "")
