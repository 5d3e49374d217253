"""Who is calling, and what an edge is given: the ports of one caller, and the process that holds the sessions."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from openhands_sessions.core.events.event import AgentState, Json
from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.user_settings import UserSettings
from openhands_sessions.ports.conversations import Conversations
from openhands_sessions.ports.gateway import EndReason, Gateway
from openhands_sessions.ports.workspaces import Workspaces


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: whose conversations it sees, and whether it may watch all of them."""

    owner: OwnerId
    operator: bool


class Auth(Protocol):
    """Turns credentials into a principal."""

    required: bool
    """Whether a caller without credentials is refused."""

    async def identify(self, credentials: Mapping[str, str]) -> Principal:
        """`credentials` may hold `session_api_key` or `login_proof`. Compares in constant time. Raises Unauthorized."""

    def login_proof(self, principal: Principal, seconds: float) -> str:
        """What a browser keeps in a cookie, to be known as this principal for so long. The key cannot be read from
        it, and another key makes it void. Not asked for where credentials are not `required`."""


@dataclass(frozen=True, slots=True)
class Access:
    """The ports of one caller."""

    gateway: Gateway
    conversations: Conversations
    workspaces: Workspaces


class AccessControl(Protocol):
    """Who may do what: an id of someone else's is NotFound, like an unknown one, before anything is validated."""

    def of(self, principal: Principal) -> Access:
        """The ports as this caller may use them; cheap, no I/O."""


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
    """All sessions as of change `number`: first, and again for a watcher that fell too far behind."""

    number: int
    sessions: Sequence[SessionStatus]


class Operations(Protocol):
    """The sessions of this process, for probes, admission, operators and the server's own start and end."""

    @property
    def accepting(self) -> bool:
        """Whether new work is taken: not once the process shuts down."""

    @property
    def problem(self) -> str | None:
        """Why nothing can be stored now, for users; None where all is well."""

    @property
    def live_sessions(self) -> int: ...

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

    async def close_all(self, reason: EndReason) -> None:
        """End every session, and accept none from now on."""

    def end_watching(self) -> None:
        """Let every watcher read what there is, then end."""


@dataclass(frozen=True, slots=True)
class ShownSettings:
    """A user's settings for their owner. `operators_key`: the model is reached with the operator's key and address."""

    settings: UserSettings
    operators_key: bool


class UserSettingsStore(Protocol):
    """The settings that users keep."""

    async def shown(self, owner: OwnerId) -> ShownSettings | None:
        """What the user has stored, completed by what the operator has configured. None where the user has stored
        nothing and the operator has configured no model."""

    async def store(self, owner: OwnerId, given: Mapping[str, Json]) -> UserSettings:
        """Take in what a user has sent. Raises BadInput, and then nothing is stored."""


class UserSecrets(Protocol):
    """Users' secrets and tokens; values never come back. Changes raise BadInput, AlreadyExists, NotFound."""

    async def names(self, owner: OwnerId) -> Sequence[tuple[str, str]]: ...

    async def add(self, owner: OwnerId, name: str, value: str, description: str) -> None: ...

    async def rename(self, owner: OwnerId, old: str, name: str, description: str | None) -> None: ...

    async def delete(self, owner: OwnerId, name: str) -> None: ...

    async def providers(self, owner: OwnerId) -> Mapping[str, str | None]: ...

    async def add_tokens(self, owner: OwnerId, tokens: Mapping[str, Mapping[str, str | None]]) -> None: ...

    async def forget_tokens(self, owner: OwnerId) -> None: ...


class Feedback(Protocol):
    """What users think of a conversation."""

    async def put(self, owner: OwnerId, sid: ConversationId, given: Mapping[str, Json]) -> tuple[dict[str, Json], str]:
        """What was stored, and its id. Raises StorageUnavailable."""
