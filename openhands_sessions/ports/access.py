"""Who is calling, and what an edge is given: the ports of one caller, and the process that holds the sessions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.core.user_settings import UserSettings
from openhands_sessions.ports.conversations import Conversations
from openhands_sessions.ports.gateway import Gateway
from openhands_sessions.ports.sharing import Grantee, SharedLink, Sharing
from openhands_sessions.ports.state import States
from openhands_sessions.ports.usage import UsageReports
from openhands_sessions.ports.workspaces import Workspaces


class Role(StrEnum):
    """What a caller may do besides using its own conversations."""

    USER = "user"
    """Nothing."""
    OPERATOR = "operator"
    """Watch all sessions."""
    ADMIN = "admin"
    """What an operator may, and manage users."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IssuedToken:
    """A token that was verified. `expires`: the time of day, in seconds, from which it is refused; `issued`: since when
    it counts, None where it does not say so; `key`: the id of the key that has signed it, empty for the one without."""

    text: str = field(repr=False)
    id: str
    key: str
    issued: float | None
    expires: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """A caller: whose conversations it sees, and what it may do besides. `token` is what it has shown, if that is one
    that can lapse. With a `link`, it sees what the link is of, and nothing else: `owner` then names the link."""

    owner: OwnerId
    role: Role
    token: IssuedToken | None = field(default=None, compare=False)
    link: SharedLink | None = None
    address: str = field(default="", compare=False)
    """Under which its address is counted; empty where it is not, as for loopback and trusted proxies."""

    @property
    def watches(self) -> bool:
        """Whether it may watch all sessions."""
        return self.role in (Role.OPERATOR, Role.ADMIN)

    @property
    def grantee(self) -> Grantee:
        """Who conversations of others are shared with, where they are shared with this caller."""
        return Grantee("user", self.owner) if self.link is None else Grantee("link", self.link.id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """What a caller shows. `key`: a session key or a token. `login`: what a browser keeps, see LoginProof.
    `by_cookie`: a browser has added them by itself, perhaps for a foreign page. `peer`: the address at the
    other end of the connection, a proxy's where there is one. `headers`: all values of a header of the request."""

    key: str = field(default="", repr=False)
    login: str = field(default="", repr=False)
    by_cookie: bool = False
    peer: str = ""
    headers: Callable[[str], Sequence[str]] = field(default=lambda name: (), repr=False)


class LoginProof(NamedTuple):
    """What a browser keeps in a cookie, and for how many seconds."""

    text: str
    seconds: int


class Auth(Protocol):
    """Turns credentials into a principal."""

    @property
    def required(self) -> bool:
        """Whether a caller without credentials is refused."""

    @property
    def asks_for(self) -> Literal["key", "token"] | None:
        """What a person can log a browser in with; None where that is impossible, or a proxy does it."""

    @property
    def by_proxy(self) -> bool:
        """Whether a proxy vouches for callers, so that every request of a logged in browser has its user's rights."""

    @property
    def local(self) -> Principal | None:
        """The machine's own user, to whom a server may print a link; None where users are told apart."""

    async def identify(self, credentials: Credentials) -> Principal:
        """Compares in constant time. Raises Unauthorized."""

    def login_proof(self, principal: Principal, seconds: int) -> LoginProof:
        """Makes a browser known as this principal, for at most so long. Neither a key can be read from it, nor does it
        outlive the key or the token. Asked for only where `asks_for` says what a login needs."""

    def watch(self, principal: Principal, lapsed: Callable[[Lapse], None]) -> Callable[[], None]:
        """Call `lapsed` once, from the event loop, as soon as what the principal has shown does not count any more; not
        after the returned function was called."""


@dataclass(frozen=True, slots=True)
class Access:
    """The ports of one caller."""

    gateway: Gateway
    conversations: Conversations
    workspaces: Workspaces
    usage: UsageReports
    sharing: Sharing
    states: States


class AccessControl(Protocol):
    """Who may do what: an id that is neither the caller's nor shared with it is NotFound, like an unknown one, before
    anything is validated. For one that is shared, what is not allowed is Forbidden."""

    def of(self, principal: Principal) -> Access:
        """The ports as this caller may use them; cheap, no I/O."""


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

    async def replace(self, owner: OwnerId, name: str, value: str) -> None:
        """Live sessions of the owner use the new value from their next command on."""

    async def delete(self, owner: OwnerId, name: str) -> None: ...

    async def providers(self, owner: OwnerId) -> Mapping[str, str | None]: ...

    async def add_tokens(self, owner: OwnerId, tokens: Mapping[str, Mapping[str, str | None]]) -> None: ...

    async def forget_tokens(self, owner: OwnerId) -> None: ...


class Feedback(Protocol):
    """What users think of a conversation."""

    async def put(self, owner: OwnerId, sid: ConversationId, given: Mapping[str, Json]) -> tuple[dict[str, Json], str]:
        """What was stored, and its id. Raises StorageUnavailable."""
