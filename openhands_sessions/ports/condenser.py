"""Keeps what a model is shown within bounds: a view of the log, never a rewrite."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from openhands_sessions.core.events.event import Event
from openhands_sessions.ports.agent import Agent
from openhands_sessions.ports.model import ModelReply


@dataclass(frozen=True, kw_only=True, slots=True)
class Condensation:
    """Events `start` to `end` (both included) are to be forgotten for `summary`; `reply` is the model's, for the
    usage ledger, where a model was asked: with the usage of all its replies where it was asked in pieces."""

    start: int
    end: int
    summary: str
    reply: ModelReply | None = None


class Condenser(Protocol):
    """One way to condense; stateless."""

    async def condense(
        self, events: Sequence[Event], max_size: int, agent: Agent, readable: int = 0
    ) -> Condensation | None:
        """`events` is what the model would be shown, without what is forgotten already; at most `max_size` of them are
        wanted, and, unless 0, at most `readable` characters. None where it is short enough, or nothing can be left
        out; where it is far too long, a part of what must be forgotten, and the rest is asked for next.
        The cut falls between whole tool pairs: never between a call and its result. A part that is too long for the
        model is summed up in pieces. Raises ModelFailure, but not for what is refused because of the history."""
