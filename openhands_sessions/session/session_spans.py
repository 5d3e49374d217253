"""What one session tells a tracer: a span for each turn, model call and action. The names are OpenTelemetry's."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from openhands_sessions.core.events.event import Action, Observation
from openhands_sessions.core.events.observations import ErrorObservation, RunObservation
from openhands_sessions.core.events.own import CallOutcome, CallPurpose, ModelCalledObservation
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.money import dollars
from openhands_sessions.ports.tracing import Attributes, Span, Tracer
from openhands_sessions.session.event_stream import EventStream

LONGEST_MODEL = 100
"""Characters that are told of a model's name, which users choose."""


class SessionSpans:
    """Of one session; without a tracer it does nothing. Model calls and actions lie below the turn that runs, but for a
    title, which is made beside it."""

    def __init__(self, tracer: Tracer | None, sid: ConversationId, mask: Callable[[str], str]) -> None:
        self._tracer = tracer
        self._sid = sid
        self._mask = mask
        self._turn: Span | None = None

    async def turn(self, work: Awaitable[None], stream: EventStream, parent: str | None, *, resumed: bool) -> None:
        """Take a turn, inside a span below the request that caused it."""
        number = stream.turn
        about: Attributes = (
            {"turn.resumed": resumed} if number is None else {"turn.id": number, "turn.resumed": resumed}
        )
        with self._span("invoke_agent", about, parent) as span:
            self._turn = span
            try:
                await work
            finally:
                self._turn = None
                if span is not None:
                    span.set({"turn.outcome": stream.view.agent_state.value})

    @contextmanager
    def model_call(self, model: str, purpose: CallPurpose) -> Iterator[Callable[[ModelCalledObservation], None]]:
        """Give what is to be told each of the call's tries."""
        about = {"gen_ai.request.model": self._mask(model)[:LONGEST_MODEL], "model_call.purpose": purpose.value}
        with self._span("chat", about, None if purpose is CallPurpose.TITLE else self._turn) as span:
            yield (lambda call: None) if span is None else _Tries(span).add

    async def action(self, action: Action, work: Awaitable[Observation]) -> Observation:
        """Carry out an action."""
        about: Attributes = {"gen_ai.tool.name": action.KIND, "action.id": action.id}
        with self._span("execute_tool", about, self._turn) as span:
            observation = await work
            if span is not None:
                span.set(_outcome(observation))
            return observation

    @contextmanager
    def _span(self, name: str, about: Attributes, parent: Span | str | None) -> Iterator[Span | None]:
        if self._tracer is None:
            yield None
            return
        shared = {"gen_ai.operation.name": name, "gen_ai.conversation.id": str(self._sid)}
        span = self._tracer.begin(name, {**shared, **about}, parent)
        try:
            yield span
        except BaseException as error:
            span.end(type(error).__name__)
            raise
        else:
            span.end()


class _Tries:
    """The sums of a model call's tries, on its span."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._prompt = self._completion = self._cost = self._count = 0

    def add(self, call: ModelCalledObservation) -> None:
        self._prompt += call.prompt_tokens
        self._completion += call.completion_tokens
        self._cost += call.micro_dollars or 0
        self._count += 1
        self._span.set(
            {
                "gen_ai.usage.input_tokens": self._prompt,
                "gen_ai.usage.output_tokens": self._completion,
                "model_call.cost_dollars": dollars(self._cost),
                "model_call.tries": self._count,
                "model_call.outcome": call.outcome.value,
            }
        )
        if call.outcome is not CallOutcome.ANSWERED:
            self._span.set({"error.type": call.status or call.outcome.value})


def _outcome(observation: Observation) -> Attributes:
    if isinstance(observation, ErrorObservation):
        return {"action.outcome": "error", "error.type": observation.error_id or "error"}
    if isinstance(observation, RunObservation):
        return {"action.outcome": "done", "process.exit.code": observation.metadata.exit_code}
    return {"action.outcome": "done"}
