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

SUMMARY_PROMPT = """\
Summarise this part of the conversation for yourself, so that you can go on without it. Keep: what the user wants and
has decided, what was done and found (files, commands, results, errors), what is still open, and facts that would be
costly to find again. Plain text, at most 500 words.
"""
LEFT_OUT = "(Older messages and results are left out.)"
KEPT = 0.5
"""The share of `max_size` that stays after the cut."""


class WindowCondenser:
    """Replaces the middle of a long conversation by a summary that the agent's model writes."""

    def __init__(self, instruction: str = SUMMARY_PROMPT) -> None:
        self._instruction = instruction

    async def condense(self, events: Sequence[Event], max_size: int, agent: Agent) -> Condensation | None:
        if len(events) <= max_size:
            return None
        # Not more than one model call takes: a replay or an import may have added many times that.
        most = beginning(events) + max_size
        first, last = cut(events, min(len(events) - int(max_size * KEPT), most))
        forgotten = events[first:last]
        messages = dialogue(forgotten)
        if not messages:
            return None
        earlier = [event.summary for event in events if isinstance(event, CondensationAction) and event.summary]
        before: list[ChatMessage] = [{"role": "user", "content": f"Summary so far:\n{text}"} for text in earlier[-1:]]
        reply = await agent.summarize([*before, *messages], self._instruction)
        summary = LEFT_OUT if reply is None or not reply.text.strip() else reply.text.strip()
        return Condensation(start=forgotten[0].id, end=forgotten[-1].id, summary=summary, reply=reply)


def beginning(events: Sequence[Event]) -> int:
    """Number of events kept at the start: up to the prompt and the first message of the user."""
    kept = 0
    for place, event in enumerate(events):
        if isinstance(event, MessageAction) and event.source is Source.USER:
            return place + 1
        if isinstance(event, SystemAction):
            kept = place + 1
    return kept


def cut(events: Sequence[Event], wanted: int) -> tuple[int, int]:
    """The range to forget, as a half-open pair of indexes: from after the kept beginning to the last index up to
    `wanted` that separates no reply from its calls and results."""
    first = beginning(events)
    places = [place for place in _seams(events) if first <= place <= wanted]
    return (places[0], places[-1]) if places else (first, first)


def _seams(events: Sequence[Event]) -> Iterator[int]:
    """Indexes at which no reply is incomplete."""
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
