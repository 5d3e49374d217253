"""Records what each model call has used: one event for each, charged to its user in the same write."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date
from functools import partial
from math import isfinite

import structlog

from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.events.own import CallOutcome, CallPurpose, ModelCalledObservation
from openhands_sessions.core.spending import Spent
from openhands_sessions.ports.accounts import AccountEntry, Charge
from openhands_sessions.ports.model import ChatModel, LostCall, ModelReply, ModelRequest, Usage
from openhands_sessions.session.call_admission import CallAdmission
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.session_spans import SessionSpans

log = structlog.get_logger(__name__)

_MOST = 2**40


class UsageLedger:
    """One session's. Its calls are admitted by `admission`, whose user is charged."""

    def __init__(self, stream: EventStream, admission: CallAdmission, spans: SessionSpans) -> None:
        self.spans = spans
        self._stream = stream
        self._admission = admission
        self._spent: Spent | None = None

    def begin(self) -> None:
        """The log is loaded."""
        self._admission.begin()

    @property
    def spent(self) -> Spent:
        """What the conversation has used, with what is recorded but not durable yet. For use once the log is loaded."""
        return self._stream.view.spent if self._spent is None else self._spent

    @asynccontextmanager
    async def call(self, model: ChatModel, request: ModelRequest) -> AsyncIterator["RecordedCall"]:
        """See `CallLedger`."""
        async with self._admission.reserved(model, request):
            with self.spans.model_call(model.name, request.purpose) as told:
                call = RecordedCall(self, model.name, request.purpose, told)
                try:
                    yield call
                except BaseException as error:
                    call.ended(error)
                    raise

    def record(self, call: ModelCalledObservation) -> None:
        """Append the record; what is appended next comes behind it."""
        self._spent = self.spent.with_call(call)
        charge = Charge(self._admission.user, _entry(call, self._stream.now.date()), counts=_counts(call))
        self._stream.append(call, charge=charge).add_done_callback(partial(_stored, call))


class RecordedCall:
    """One model call that the quotas have admitted, with its tries."""

    def __init__(
        self, ledger: UsageLedger, model: str, purpose: CallPurpose, told: Callable[[ModelCalledObservation], None]
    ) -> None:
        self._ledger = ledger
        self._model = model
        self._purpose = purpose
        self._tell = told
        self._begun = time.monotonic()
        self._told = False

    def answered(self, reply: ModelReply) -> None:
        """See `CallRecorder`."""
        self._record(reply.usage, CallOutcome.ANSWERED, finish=reply.finish, response_id=reply.id)

    def lost(self, call: LostCall) -> None:
        """See `CallRecorder`."""
        outcome = CallOutcome.CANCELLED if call.status is None else CallOutcome.FAILED
        self._record(call.usage, outcome, status=call.status)

    def ended(self, error: BaseException) -> None:
        """The block has raised."""
        if not self._told:
            status = error.status if isinstance(error, ModelFailure) else None
            self.lost(LostCall(status=status, usage=Usage(latency=time.monotonic() - self._begun)))

    def _record(
        self,
        usage: Usage,
        outcome: CallOutcome,
        *,
        finish: str | None = None,
        status: str | None = None,
        response_id: str = "",
    ) -> None:
        self._told = True
        call = ModelCalledObservation(
            purpose=self._purpose,
            model=self._model,
            outcome=outcome,
            finish_reason=finish,
            status=status,
            response_id=response_id,
            prompt_tokens=_bounded(usage.prompt_tokens),
            completion_tokens=_bounded(usage.completion_tokens),
            cache_read_tokens=_bounded(usage.cache_read_tokens),
            cache_write_tokens=_bounded(usage.cache_write_tokens),
            micro_dollars=None if usage.cost is None or usage.cost < 0 else _bounded(usage.cost),
            latency=round(usage.latency, 3) if isfinite(usage.latency) else 0.0,
        )
        self._tell(call)
        self._ledger.record(call)


def _bounded(figure: int) -> int:
    """A provider may send any number; sums of these fit into 64 bits."""
    return max(0, min(figure, _MOST))


def _counts(call: ModelCalledObservation) -> bool:
    """Whether the conversation counts for quotas of conversations: not by a call that has used nothing."""
    return call.outcome is CallOutcome.ANSWERED or bool(call.prompt_tokens or call.completion_tokens)


def _entry(call: ModelCalledObservation, day: date) -> AccountEntry:
    return AccountEntry(
        day=day,
        model=call.model,
        purpose=call.purpose,
        calls=1,
        lost=int(call.outcome is not CallOutcome.ANSWERED),
        prompt_tokens=call.prompt_tokens,
        completion_tokens=call.completion_tokens,
        cache_read_tokens=call.cache_read_tokens,
        cache_write_tokens=call.cache_write_tokens,
        micro_dollars=call.micro_dollars or 0,
        unpriced=int(call.micro_dollars is None),
    )


def _stored(call: ModelCalledObservation, done: "asyncio.Future[Sequence[Event]]") -> None:
    """What keeps one append from being stored fails the next ones too, and with them the session."""
    if not done.cancelled() and (error := done.exception()) is not None:
        cause = type(error).__name__
        log.error("a model call was not recorded", model=call.model, micro_dollars=call.micro_dollars, cause=cause)
