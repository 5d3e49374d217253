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
    usage ledger, where a model was asked."""

    start: int
    end: int
    summary: str
    reply: ModelReply | None = None


class Condenser(Protocol):
    """One way to condense; stateless."""

    async def condense(self, events: Sequence[Event], max_size: int, agent: Agent) -> Condensation | None:
        """`events` is what the model would be shown, without what is forgotten already. None where it is short enough;
        where it is far too long, a part of what must be forgotten, and the rest is asked for next.
        The cut falls between whole tool pairs: never between a call and its result. Raises ModelFailure."""
