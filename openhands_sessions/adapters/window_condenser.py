"""Keeps the beginning and the newest part, cut between whole tool pairs, with a summary by the model between them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from openhands_sessions.core.answered import ANSWERED
from openhands_sessions.core.dialogue import dialogue
from openhands_sessions.core.errors import ModelFailure, Refusal
from openhands_sessions.core.events.actions import CondensationAction, MessageAction, SystemAction
from openhands_sessions.core.events.event import Event, Observation, Source
from openhands_sessions.core.events.own import TurnEndedObservation
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.history_form import LEFT_OUT, HistoryForm, size_of
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.agent import Agent
from openhands_sessions.ports.condenser import Condensation
from openhands_sessions.ports.model import ChatMessage, ModelReply

SUMMARY_PROMPT = """\
Summarise this part of the conversation for yourself, so that you can go on without it. Keep: what the user wants and
has decided, what was done and found (files, commands, results, errors), what is still open, and facts that would be
costly to find again. Plain text, at most 500 words.
"""
KEPT = 0.5
"""The share of `max_size` and of `readable` that stays after the cut."""
_LEAST = 500
"""Characters of a text below which it is not shortened further."""
_ALL = EventId(2**62)
_AS_TEXT = HistoryForm(without_images=_ALL, plain=True, told=_ALL)
"""A request for a summary offers no tools; some providers then refuse calls in its messages."""


class WindowCondenser:
    """Replaces the middle of a long conversation by a summary that the agent's model writes."""

    def __init__(self, instruction: str = SUMMARY_PROMPT) -> None:
        self._instruction = instruction

    async def condense(
        self, events: Sequence[Event], max_size: int, agent: Agent, readable: int = 0
    ) -> Condensation | None:
        wanted = _wanted(events, max_size, readable)
        if wanted == 0:
            return None
        first, last = cut(events, wanted)
        forgotten = events[first:last]
        if not dialogue(forgotten):
            return None
        earlier = [event.summary for event in events if isinstance(event, CondensationAction) and event.summary]
        summing = _Summing(agent, self._instruction, earlier[-1] if earlier else "")
        for piece in _pieces(forgotten, int(readable * KEPT)):
            await summing.add(piece, int(readable * KEPT))
        summary = summing.summary or LEFT_OUT
        return Condensation(start=forgotten[0].id, end=forgotten[-1].id, summary=summary, reply=summing.reply)


class _Summing:
    """A summary that grows piece by piece. `reply` is the model's newest, with the usage of all."""

    def __init__(self, agent: Agent, instruction: str, earlier: str) -> None:
        self.summary = ""
        self.reply: ModelReply | None = None
        self._agent = agent
        self._instruction = instruction
        self._earlier = earlier

    async def add(self, events: Sequence[Event], longest: int = 0) -> None:
        """Sum up some more events. `longest` bounds the characters of each text; 0: no bound."""
        so_far = self.summary or self._earlier
        before: list[ChatMessage] = [{"role": "user", "content": f"Summary so far:\n{so_far}"}] if so_far else []
        messages = dialogue(events, form=evolve(_AS_TEXT, longest=longest, shortened=events[-1].id))
        try:
            reply = await self._agent.summarize([*before, *messages], self._instruction)
        except ModelFailure as failure:
            if failure.refusal is None:
                raise
            await self._add_less(events, longest or size_of(messages), failure.refusal)
            return
        if reply is None:
            return
        used = reply.usage if self.reply is None else self.reply.usage.plus(reply.usage)
        self.reply, self.summary = replace(reply, usage=used), reply.text.strip() or self.summary

    async def _add_less(self, events: Sequence[Event], longest: int, refusal: Refusal) -> None:
        """What cannot be read at all is left out."""
        if refusal not in (Refusal.TOO_LONG, Refusal.TOO_LARGE):
            return
        places = [place for place in _seams(events) if 0 < place < len(events)]
        if places:
            middle = min(places, key=lambda place: abs(place - len(events) // 2))
            await self.add(events[:middle], longest)
            await self.add(events[middle:], longest)
        elif longest > _LEAST:
            await self.add(events, longest // 4)


def _wanted(events: Sequence[Event], max_size: int, readable: int) -> int:
    """How many events from the start on are to go or to be kept as the beginning; 0 where all are short enough."""
    by_size = _too_many(events, readable) if readable else 0
    if len(events) <= max_size:
        return by_size
    # Not more than one model call takes: a replay or an import may have added many times that.
    most = beginning(events) + max_size
    return max(by_size, min(len(events) - int(max_size * KEPT), most))


def _too_many(events: Sequence[Event], readable: int) -> int:
    """As `_wanted`, by the characters of what stays."""
    first = beginning(events)
    sizes = [(start, _size(events[start:end])) for start, end in pairwise(_seams_from(events, first))]
    left = int(readable * KEPT) - _size(events[:first])
    if sum(size for _, size in sizes) + _size(events[:first]) <= readable:
        return 0
    for start, size in reversed(sizes):
        left -= size
        if left < 0:
            # At least the newest piece stays.
            return start if (start, size) == sizes[-1] else _after(sizes, start)
    return 0


def _after(sizes: Sequence[tuple[int, int]], start: int) -> int:
    return next(other for other, _ in sizes if other > start)


def _pieces(events: Sequence[Event], most: int) -> Iterator[Sequence[Event]]:
    """The events in pieces of at most `most` characters, where that is possible; in one if it is 0."""
    begun, size = 0, 0
    for start, end in pairwise(_seams_from(events, 0)):
        added = _size(events[start:end]) if most else 0
        if size and size + added > most:
            yield events[begun:start]
            begun, size = start, 0
        size += added
    yield events[begun:]


def _seams_from(events: Sequence[Event], first: int) -> Iterator[int]:
    yield from (place for place in _seams(events) if first <= place < len(events))
    yield len(events)


def _size(events: Sequence[Event]) -> int:
    return size_of(dialogue(events))


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
