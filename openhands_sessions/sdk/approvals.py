"""Calls of a turn that await an answer, and what a program may answer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from openhands_sessions.core.commands import Decide, DecideCall
from openhands_sessions.core.errors import BadInput, TurnFailed
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.gateway import AwaitingCall, PendingApproval
from openhands_sessions.sdk.agent import running_in
from openhands_sessions.sdk.worker_thread import in_thread

ANSWERS = "must be True, False, Allow(...) or Deny(...), for all calls or in a list of one for each"


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingCall:
    """A call that awaits an answer. `risk` is 0 (low) to 2 (high), -1 where it is not known."""

    id: int
    tool: str
    arguments: Mapping[str, Any]
    risk: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingBatch:
    """The calls of one reply that await answers together; what is open at the `deadline` (UTC) is rejected. About
    `spending`, the one entry is no call: it asks whether the session may go on, with `spent`, `threshold` and `then`
    in its arguments, in US dollars."""

    batch: int
    version: int
    about: Literal["calls", "spending"]
    deadline: datetime | None
    calls: tuple[PendingCall, ...]

    @classmethod
    def of(cls, asked: PendingApproval) -> "PendingBatch":
        calls = tuple(map(_pending_call, asked.calls))
        return cls(batch=asked.batch, version=asked.version, about=asked.about, deadline=asked.deadline, calls=calls)


@dataclass(frozen=True, slots=True)
class Allow:
    """The call may run; with `arguments`, with these in place of the agent's."""

    arguments: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Deny:
    """The call does not run; `feedback` tells the agent why. Where all calls are denied, the turn ends."""

    feedback: str = ""


CallAnswer = bool | Allow | Deny
Answers = CallAnswer | Sequence[CallAnswer]
"""One for all calls of a batch, or one for each."""
OnApproval = Callable[[PendingBatch], Answers | Awaitable[Answers | None] | None]
"""Asked by a turn that needs answers; None leaves the calls open."""


class ApprovalNeeded(TurnFailed):
    """A turn waits for answers about the calls that are `pending`; `session.answer(...)` goes on with it."""

    def __init__(self, pending: PendingBatch, turn: int) -> None:
        what = "it asks whether to go on" if pending.about == "spending" else "calls of tools await an answer"
        names = ", ".join(sorted({call.tool for call in pending.calls}))
        text = f"{what} ({names}): give one with session.answer(...), or in Session(on_approval=...)"
        super().__init__(text, reason="approval", turn=turn)
        self.pending = pending


async def given_answers(ask: OnApproval | None, pending: PendingBatch, owner: str) -> Answers | None:
    """What the program answers; None where `ask` is None. `owner` is the session. Raises what `ask` raises."""
    if ask is None:
        return None
    given = await in_thread(lambda: ask(pending), owner)
    if not isinstance(given, Awaitable):
        return given
    token = running_in.set(owner)
    try:
        return await given
    finally:
        running_in.reset(token)


def deciding(pending: PendingBatch, answers: Answers) -> Decide:
    """The command that gives the answers. Raises BadInput for what is none."""
    given = [answers] * len(pending.calls) if isinstance(answers, CallAnswer) else answers
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise BadInput("answers", ANSWERS)
    if len(given) != len(pending.calls):
        raise BadInput("answers", f"must be one, or {len(pending.calls)}: so many calls await one")
    decisions = tuple(_decided(call, one) for call, one in zip(pending.calls, given, strict=True))
    return Decide(batch=EventId(pending.batch), version=pending.version, decisions=decisions)


def _decided(call: PendingCall, answer: CallAnswer) -> DecideCall:
    number = EventId(call.id)
    match answer:
        case Allow(arguments=arguments):
            text = None if arguments is None else _json_text(arguments)
            return DecideCall(call=number, approved=True, arguments=text)
        case Deny(feedback=feedback):
            return DecideCall(call=number, approved=False, feedback=feedback)
        case bool():
            return DecideCall(call=number, approved=answer)
        case _:
            raise BadInput("answers", ANSWERS)


def _json_text(arguments: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(dict(arguments)).decode()
    except (TypeError, ValueError):
        raise BadInput("arguments", "must be a mapping of names to values that JSON has") from None


def _pending_call(call: AwaitingCall) -> PendingCall:
    try:
        arguments = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    read = arguments if isinstance(arguments, dict) else {"": call.arguments}
    return PendingCall(id=int(call.event_id), tool=call.tool, arguments=read, risk=call.risk)
