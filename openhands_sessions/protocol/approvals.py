"""Decisions about the calls that await an answer, and how these calls are shown."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from openhands_sessions.core.commands import Decide, DecideCall
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.events.own import RuleScope
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.gateway import AwaitingCall, PendingApproval
from openhands_sessions.protocol.history import Key
from openhands_sessions.protocol.payloads import Message, Reply, Text

EventNumber = Annotated[int, Field(ge=0, le=2**53, strict=True)]
Choice = Literal["approve", "reject"]
MOST_DECISIONS = 1_000


class DecisionIn(Message):
    """What is decided about one call. To approve, `arguments` may take the place of the model's, and `always` allows
    such calls from now on, in this `conversation` or for the `user`; to reject, `feedback` tells the agent why."""

    event_id: EventNumber
    decision: Choice
    arguments: dict[str, Any] | None = None
    feedback: Text | None = None
    always: RuleScope | None = None


class DecideArgs(Message):
    """`args` of a `decide`: the batch and the version that the user has seen. `rest` decides about the calls that
    `decisions` do not name; without it, they stay open."""

    batch: EventNumber
    version: EventNumber
    decisions: list[DecisionIn] = Field(default_factory=list, max_length=MOST_DECISIONS)
    rest: Choice | None = None

    def command(self) -> Decide:
        """Raises BadInput."""
        return Decide(
            batch=EventId(self.batch),
            version=self.version,
            decisions=tuple(_decision(place, one) for place, one in enumerate(self.decisions)),
            rest=None if self.rest is None else self.rest == "approve",
        )


class DecideIn(Message):
    """A `decide` from a client."""

    action: Literal["decide"]
    args: DecideArgs
    key: Key | None = None


def decide_wire(command: Decide) -> dict[str, Json]:
    """`args` of a decision as a client sends it. Built without validation: the server validates it."""
    rest: Mapping[str, Json] = {} if command.rest is None else {"rest": _choice(command.rest)}
    decisions: list[Json] = [_decision_wire(one) for one in command.decisions]
    return {"batch": command.batch, "version": command.version, "decisions": decisions, **rest}


def _decision(place: int, given: DecisionIn) -> DecideCall:
    approved = given.decision == "approve"
    misplaced = ("feedback",) if approved else ("arguments", "always")
    for name in misplaced:
        if getattr(given, name) is not None:
            wanted = "reject" if approved else "approve"
            raise BadInput(f"args.decisions.{place}.{name}", f"belongs to `{wanted}`: leave it out")
    return DecideCall(
        call=EventId(given.event_id),
        approved=approved,
        arguments=None if given.arguments is None else orjson.dumps(given.arguments).decode(),
        feedback=given.feedback or "",
        always=given.always,
    )


def _decision_wire(one: DecideCall) -> dict[str, Json]:
    told: dict[str, Json] = {"event_id": one.call, "decision": _choice(one.approved)}
    if one.arguments is not None:
        told["arguments"] = orjson.loads(one.arguments)
    if one.feedback:
        told["feedback"] = one.feedback
    if one.always is not None:
        told["always"] = str(one.always)
    return told


def _choice(approved: bool) -> str:
    return "approve" if approved else "reject"


class AwaitingCallOut(Reply):
    """A call that awaits an answer. `arguments` is the JSON text as the model wrote it; `risk` is 0 (low) to 2 (high),
    -1 where it is not known."""

    event_id: int
    tool: str
    arguments: str
    risk: int


class PendingApprovalOut(Reply):
    """The batch that awaits decisions; what is open at the `deadline` is rejected, null for no deadline. `about` is
    `calls`, or `spending`: then one entry asks whether the conversation may go on, with `spent`, `threshold` and `then`
    in its arguments, US dollars: its cost, what it has reached, and where it asks next."""

    batch: int
    about: Literal["calls", "spending"] = "calls"
    version: int
    deadline: datetime | None
    calls: list[AwaitingCallOut]

    def approval(self) -> PendingApproval:
        return PendingApproval(
            batch=EventId(self.batch),
            about=self.about,
            version=self.version,
            deadline=self.deadline,
            calls=tuple(
                AwaitingCall(event_id=EventId(one.event_id), tool=one.tool, arguments=one.arguments, risk=one.risk)
                for one in self.calls
            ),
        )
