"""The sessions of a process, as operators, probes and the server itself see them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from openhands_sessions.core.events.event import AgentState
from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.measurements import Measurements
from openhands_sessions.ports.gateway import Accepted, EndReason
from openhands_sessions.ports.runtime import SandboxCounts


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionStatus:
    """One session as operators see it. `number` rises with every change of any session."""

    number: int
    conversation_id: ConversationId
    owner: OwnerId
    state: SessionState
    agent_state: AgentState
    head: EventId
    followers: int
    cost: float
    at: datetime
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """All sessions as of change `number`: first, again for a watcher that fell too far behind, and when the limits or
    the draining have changed."""

    number: int
    sessions: Sequence[SessionStatus]


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionLimits:
    """Most live sessions; None where users are not told apart."""

    total: int
    per_user: int | None = None
    per_address: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitChanges:
    """The limits that change, by the names of their settings; None for the others."""

    max_sessions: int | None = None
    max_sessions_per_user: int | None = None
    max_sessions_per_address: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionFigures:
    """The sessions of a process at this moment, and the sandboxes since it began."""

    states: Mapping[SessionState, int]
    followers: int
    waiting_commands: int
    queued_messages: int
    awaited_answers: int
    """Conversations whose calls await an answer."""
    sandboxes: SandboxCounts


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelHealth:
    """Whether the operator's model answered at a time; `model` is None where none is configured. `seconds`: how long it
    took. `problem`: one of the wire's status ids, None where it answered."""

    model: str | None
    at: datetime
    seconds: float = 0.0
    problem: str | None = None


class ModelProbe(Protocol):
    """Asks the operator's model whether it answers."""

    async def check(self) -> ModelHealth:
        """What it said last, if that is recent, else what it says now: one question at a time, whoever asks."""


class OperatorCommands(Protocol):
    """What operators do to sessions of any user. `by` is the operator; the log has a line for each."""

    async def stop_turn(self, sid: ConversationId, by: OwnerId) -> Accepted:
        """End the turn of a live session, as its user's stop does. Raises NotFound where no session is live."""

    async def close_session(self, sid: ConversationId, by: OwnerId) -> None:
        """End a live session, as its user's stop of the conversation does. Raises NotFound where no session is
        live."""

    def set_limits(self, changes: LimitChanges, by: OwnerId) -> None:
        """Admit so many from now on, until the process ends; sessions that are live stay. Raises BadInput where users
        are not told apart, and one of their limits is given."""

    def drain(self, draining: bool, by: OwnerId) -> None:
        """Admit no new session, or admit them again. Sessions that are live go on."""


class OperatorAccess(Protocol):
    """The live sessions of another server, as one of its operators has them."""

    sessions: Sequence[SessionStatus]
    """Those that were live when it was reached."""

    async def stop_turn(self, sid: ConversationId) -> Accepted:
        """End the turn that runs. Raises NotFound where no session is live, Unreachable."""

    async def close_session(self, sid: ConversationId) -> None:
        """End the session. Raises NotFound where none is live, Unreachable."""


class Operations(Protocol):
    """The sessions of this process, for probes, admission, operators and the server's own start and end."""

    @property
    def limits(self) -> SessionLimits:
        """How many sessions may be live now."""

    @property
    def draining(self) -> bool:
        """Whether an operator has new sessions refused."""

    @property
    def accepting(self) -> bool:
        """Whether new work is taken: not once the process shuts down."""

    @property
    def problem(self) -> str | None:
        """Why nothing can be stored now, for users; None where all is well."""

    @property
    def live_sessions(self) -> int: ...

    @property
    def measurements(self) -> Measurements:
        """What is counted since the process began."""

    def figures(self) -> SessionFigures:
        """How things stand; looks at every live session, without I/O."""

    def has_room(self, sid: str | None) -> bool:
        """Whether a client that asks for this conversation can be admitted; None for one that names none yet."""

    def idle_time(self, since: float) -> float:
        """Seconds for which no session has worked, at most those since `since`, a time of the event loop."""

    def watch(self) -> AsyncIterator[Overview | Sequence[SessionStatus]]:
        """An overview, then every change after it, in order, in batches, until the process shuts down."""

    async def expect_clients(self) -> None:
        """The process starts: conversations that were live in the last one are described as running for a while."""

    async def recover(self) -> None:
        """Go on with the turns that an earlier process left; returns when nothing is left to do."""

    async def resume(self) -> None:
        """Go on with the sessions that fail because nothing can be stored, once it can; until cancelled."""

    async def reject_overdue(self) -> None:
        """Reject the calls whose answers do not come in time, also those that were due before; until cancelled."""

    async def close_all(self, reason: EndReason) -> None:
        """End every session, and accept none from now on."""

    def end_watching(self) -> None:
        """Let every watcher read what there is, then end."""
