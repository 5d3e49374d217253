"""How a program's session opens its conversation, and what it calls then: the engine itself is loaded later."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.lineage import Checkpoint
from openhands_sessions.core.session_file import SessionFile
from openhands_sessions.sdk.agent import Agent
from openhands_sessions.sdk.approvals import Answers, OnApproval, PendingBatch
from openhands_sessions.sdk.results import MergeResult, StreamItem

ExportFormat = Literal["jsonl", "json", "markdown", "openai"]
Place = Checkpoint | str | int
"""A checkpoint, its name, or the number that one has which was not named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """`name` is the session's id, `sid` the conversation's, `owner` the user, None for the machine's own. `waits`:
    whether a call waits while a turn, or another process, has the session. `timeout`: seconds that a turn may take.
    `agents` are several by name, in place of `agent`, which is the first one then, and `visibility` says what they see
    of each other. `confirm`: which calls of tools await answers, of which `on_approval` is asked."""

    name: str
    sid: ConversationId
    agent: Agent
    store: str | None
    owner: str | None
    waits: bool
    timeout: float
    agents: Mapping[str, Agent] = field(default_factory=dict)
    visibility: Literal["answers", "full"] = "answers"
    confirm: bool | tuple[str, ...] = False
    on_approval: OnApproval | None = None


class ConversationCalls(Protocol):
    """See `ProgramConversation`."""

    def turn(self, text: str, key: str | None, agent: str | None = None) -> AsyncGenerator[StreamItem, None]: ...
    def answered(self, answers: Answers) -> AsyncGenerator[StreamItem, None]: ...
    async def pending(self) -> PendingBatch | None: ...
    async def stop(self) -> None: ...
    async def close(self) -> None: ...
    async def history(self, limit: int | None, after: int, before: int | None) -> list[dict[str, Any]]: ...
    async def events(self, after: int, limit: int | None) -> list[Mapping[str, Any]]: ...
    def tail(self, after: int | None) -> AsyncGenerator[Mapping[str, Any], None]: ...


class HistoryCalls(Protocol):
    """See `SessionHistory`."""

    async def create_checkpoint(self, label: str | None, description: str) -> Checkpoint: ...
    async def checkpoints(self) -> list[Checkpoint]: ...
    async def restore(self, place: Place, branch: str | None) -> None: ...
    async def undo(self, turns: int, branch: str | None) -> None: ...
    async def branch(self, name: str, place: Place | None) -> None: ...
    async def switch(self, name: str) -> None: ...
    async def branches(self) -> list[str]: ...
    async def merge(self, other: Opening | str, left: str | None) -> MergeResult: ...
    async def free_id(self, name: str) -> str: ...
    async def fork(self, sid: ConversationId, name: str, place: Place | None) -> None: ...


class FileCalls(Protocol):
    """See `SessionFiles`."""

    async def save(self, path: Path, key: str | None) -> None: ...
    async def take_in(self, file: SessionFile) -> None: ...
    async def export(self, form: ExportFormat) -> str: ...


class SessionCalls(Protocol):
    """What a session is, once it is opened."""

    @property
    def conversation(self) -> ConversationCalls: ...
    @property
    def moves(self) -> HistoryCalls: ...
    @property
    def files(self) -> FileCalls: ...
