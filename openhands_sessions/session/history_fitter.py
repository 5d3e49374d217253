"""Shows the model a history that it takes: short enough, and in a simpler form where the usual one was refused."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import structlog

from openhands_sessions.core.errors import ModelFailure, Refusal
from openhands_sessions.core.events.actions import CondensationAction
from openhands_sessions.core.events.event import Event, Json, Source
from openhands_sessions.core.events.own import HistoryCompactedAction, HistoryRepairedObservation
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.history_form import HistoryForm, Message, shrinking_summary, size_of
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.condenser import Condensation
from openhands_sessions.ports.model import ModelReply
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.model_replies import metrics
from openhands_sessions.session.turn_context import TurnContext
from openhands_sessions.session.turn_history import TurnHistory

log = structlog.get_logger(__name__)

_SHARE = 0.8
"""How much of a model's window the history may fill; the rest is for the reply, and for what is guessed wrong."""
_TOKENS_PER_CHARACTER = 0.3
"""Until the model's first reply says how many it took."""
_LEAST_TOKENS = 0.2
"""No text has fewer per character, whatever a provider counts."""
_LENGTHS = (20_000, 6_000, 2_000, 600, 200)
"""Characters that long texts are shortened to, one after the other."""
_LEAST_READABLE = 2_000
_LESS = 0.9
"""The share of a refused size that is tried first; the second try is half of that, the third a third, and so on."""
_TRIES = 8
"""How often one request is made shorter before its refusal is final."""
_LADDERS: dict[Refusal, Sequence[str]] = {
    Refusal.TOO_LONG: ("shorter", "images"),
    Refusal.TOO_LARGE: ("images", "shorter"),
    Refusal.IMAGE: ("images", "plain", "told"),
    Refusal.FORM: ("plain", "told", "images"),
    Refusal.UNKNOWN: ("images", "plain", "told"),
}
"""What is tried, one after the other, for each refusal."""
_TOLD = {
    "without_images": "The model's provider could not read an image: the model is shown a note in place of the images.",
    "longest": "The conversation is longer than the model can read: it is shown long texts without their middle.",
    "plain": "The model's provider refused the form of the conversation: the model is shown it in a simpler one.",
}
"""What users are told, by the field of the form that has changed."""


_LEAST_EVENTS = 8
"""Events that a compaction leaves as they are."""
ALREADY_SHORT = "There is nothing to compact: the conversation is short."
NO_SHORTER = "Nothing was compacted: the summary would be no shorter than what it stands for."
NO_WAY_OUT = "Take the newest turn back, choose a model that reads more, or begin a new conversation."
"""What a user can do where nothing makes the history short enough."""
SHORTER = "The history was compacted: the model is shown fewer characters,"


def _compacted(before: tuple[int, int], after: tuple[int, int], told: str) -> HistoryCompactedAction:
    """Sizes are events and characters."""
    return HistoryCompactedAction(
        source=Source.USER,
        events_before=before[0],
        events_after=after[0],
        characters_before=before[1],
        characters_after=after[1],
        told=told,
    )


class HistoryFitter:
    """Between the log and the model. What helped is in the log, and holds for all later requests to the same model."""

    def __init__(
        self,
        stream: EventStream,
        context: TurnContext,
        settings: SessionSettings,
        history: TurnHistory,
        tell: Callable[[str, str], None],
    ) -> None:
        self._stream = stream
        self._context = context
        self._settings = settings
        self._history = history
        self._tell = tell
        self._form = HistoryForm()
        self._size = 0
        """Characters of the newest request, tools included; 0: they do not matter."""
        self._tried: set[str] = set()
        self._shortenings = 0
        self._refused: ModelFailure | None = None
        self._tokens_per_character = _TOKENS_PER_CHARACTER

    def begin(self) -> None:
        """A turn begins."""
        model, known = self._context.agent.model or "", self._stream.view.form
        if self._form.model != model:
            self._tokens_per_character = _TOKENS_PER_CHARACTER
        self._form = known if known.model == model else HistoryForm(model=model)
        self._forget_tries()

    async def messages(self) -> Sequence[Message]:
        """What the model is to be shown now, made shorter where it is known to be too long. Raises ModelFailure."""
        await self._condense()
        messages = self._shown(self._form)
        readable = self._readable()
        if readable == 0:
            self._size = 0
            return messages
        if size_of(messages) > readable:
            await self._condense(readable)
            messages = self._shortened(readable)
        self._size = size_of(messages) + self._tools()
        return messages

    async def repair(self, failure: ModelFailure) -> None:
        """Change the form, so that another try may be taken. Raises the failure with which it began where nothing is
        left to change."""
        self._refused = self._refused or failure
        ladder = () if failure.refusal is None else _LADDERS[failure.refusal]
        for repair in ladder:
            if await self._helps(repair):
                log.info("a model refused the history", model=self._form.model, why=failure.refusal, repair=repair)
                return
        if self._refused.refusal in (Refusal.TOO_LONG, Refusal.TOO_LARGE):
            self._refused = ModelFailure(self._refused.status, f"{self._refused.message} {NO_WAY_OUT}")
        raise self._refused

    async def taken(self, reply: ModelReply) -> None:
        """The model has answered: keep what helped."""
        self._forget_tries()
        if self._size and reply.usage.prompt_tokens:
            self._tokens_per_character = max(_LEAST_TOKENS, reply.usage.prompt_tokens / self._size)
        before = self._stream.view.form
        if self._form in (before, HistoryForm(model=self._form.model)):
            return
        told = [text for name, text in _TOLD.items() if getattr(self._form, name) != getattr(before, name)]
        await self._stream.append(HistoryRepairedObservation(form=self._form, content=" ".join(told)))
        for text in told:
            self._tell("STATUS$HISTORY_REPAIRED", text)

    async def compacting(self) -> Sequence[Event]:
        """What sums the older half of the history up, and says how much that gains; where it gains nothing, only why.
        Appends nothing. Raises ModelFailure."""
        context, events = self._context, self._history.events
        before = (len(events), size_of(self._shown(self._form)))
        made = await context.condenser.condense(events, max(_LEAST_EVENTS, len(events) // 2), context.agent)
        if made is None:
            return (_compacted(before, before, ALREADY_SHORT),)
        after = self._without(made, made.summary)
        if after[1] >= before[1]:
            used = None if made.reply is None else self._used(made.reply)
            return (evolve(_compacted(before, before, NO_SHORTER), llm_metrics=used),)
        return (self._condensation(made), _compacted(before, after, f"{SHORTER} from {before[1]:,} to {after[1]:,}."))

    def _without(self, made: Condensation, summary: str) -> tuple[int, int]:
        """Events and characters that are left with a condensation, and this summary for it."""
        left = [event for event in self._history.events if not made.start <= event.id <= made.end]
        shown = self._history.shown(left, summary, made.end, model=self._context.agent.model, form=self._form)
        return len(left), size_of(shown)

    def _size_with(self, made: Condensation, summary: str) -> int:
        return self._without(made, summary)[1]

    def _forget_tries(self) -> None:
        self._tried, self._shortenings, self._refused = set(), 0, None

    async def _helps(self, repair: str) -> bool:
        """Whether the repair changes what the model is shown; each is tried once, and shortening while it helps."""
        if repair == "shorter":
            return await self._shorter()
        if repair in self._tried:
            return False
        self._tried.add(repair)
        head = self._stream.view.head
        match repair:
            case "images":
                form = evolve(self._form, without_images=head)
            case "plain":
                form = evolve(self._form, plain=True)
            case _:
                form = evolve(self._form, plain=True, told=head)
        if self._shown(form) == self._shown(self._form):
            return False
        self._form = form
        return True

    async def _shorter(self) -> bool:
        before, refused = self._form, size_of(self._shown(self._form))
        if self._shortenings == _TRIES or refused <= _LEAST_READABLE:
            return False
        self._shortenings += 1
        readable = int(refused * _LESS / self._shortenings)
        self._form = evolve(before, readable=max(_LEAST_READABLE, readable))
        if size_of(await self.messages()) < refused:
            return True
        self._form = before
        return False

    def _readable(self) -> int:
        """Characters that the messages may have; 0: unknown."""
        window = self._context.agent.window
        if window is None:
            return self._form.readable
        known = max(_LEAST_READABLE, int(window * _SHARE / self._tokens_per_character) - self._tools())
        return min(known, self._form.readable or known)

    def _tools(self) -> int:
        """Characters of what a request says of the tools."""
        return size_of(self._context.tools.schemas)

    def _shown(self, form: HistoryForm) -> Sequence[Message]:
        return self._history.messages(self._context.agent.model, form)

    def _shortened(self, readable: int) -> Sequence[Message]:
        """With long texts shortened as little as is needed."""
        for form in self._shorter_forms():
            messages = self._shown(form)
            if size_of(messages) <= readable:
                break
        self._form = form
        return messages

    def _shorter_forms(self) -> Iterator[HistoryForm]:
        yield self._form
        head = self._stream.view.head
        for longest in _LENGTHS:
            if self._form.longest == 0 or longest <= self._form.longest:
                yield evolve(self._form, longest=longest, shortened=head)

    async def _condense(self, readable: int = 0) -> None:
        context, longest = self._context, self._settings.condenser_max_size
        while (
            made := await context.condenser.condense(self._condensable(), longest, context.agent, readable)
        ) is not None:
            length, before = len(self._history.events), size_of(self._shown(self._form))
            summary = shrinking_summary(made.summary, before, partial(self._size_with, made))
            await self._stream.append(self._condensation(replace(made, summary=summary)))
            if len(self._history.events) >= length:
                return  # nothing is gained by it

    def _condensable(self) -> Sequence[Event]:
        """An agent without a model cannot sum up: for it, what waits for an answer stays."""
        events = self._history.events
        if self._context.agent.model is not None or not (waiting := self._history.unanswered):
            return events
        return [event for event in events if event.id < waiting[0].id]

    def _condensation(self, made: Condensation) -> CondensationAction:
        before = self._stream.view.condensed
        start = made.start if before is None else min(before[0], made.start)
        return CondensationAction(
            source=Source.AGENT,
            forgotten_events_start_id=start,
            forgotten_events_end_id=made.end,
            summary=made.summary,
            summary_offset=start,
            llm_metrics=None if made.reply is None else self._used(made.reply),
        )

    def _used(self, reply: ModelReply) -> dict[str, Json]:
        budget, window = self._settings.max_budget_per_task, self._context.agent.window
        return metrics(self._context.ledger.spent, reply, budget=budget, window=window)
