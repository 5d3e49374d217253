"""Namespace `/`: clients of conversations."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import socketio
import structlog
from socketio.exceptions import ConnectionRefusedError as Refused

from openhands_sessions.core.errors import AtCapacity, BadInput, Forbidden, NotFound, SessionsError
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, EventId, conversation_id
from openhands_sessions.core.json_limits import check_nesting
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.access import Access, AccessControl, Principal
from openhands_sessions.ports.agent import Agents
from openhands_sessions.ports.conversations import Conversations
from openhands_sessions.ports.files import FileStore
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.protocol.conversations import CreateIn
from openhands_sessions.protocol.errors import Acknowledgement
from openhands_sessions.protocol.lists import MarkReadIn, RenewListIn
from openhands_sessions.protocol.payloads import checked
from openhands_sessions.protocol.settings import PROVIDERS
from openhands_sessions.protocol.socket_messages import (
    AUTHENTICATE,
    COMMANDS,
    MARK_READ,
    PROTOCOL,
    RENEW_LIST,
    AuthIn,
    ConnectionLimits,
)
from openhands_sessions.server.caller_rates import RateLimits, Rates
from openhands_sessions.server.credentials import credentials_of, query_of
from openhands_sessions.server.held_token import HeldToken
from openhands_sessions.server.identification import Identification
from openhands_sessions.server.list_session import ListSession
from openhands_sessions.server.pending_connections import PendingLimits
from openhands_sessions.server.slow_client import END_GRACE, Outbox, abort
from openhands_sessions.server.web_session import Connection, WebSession

log = structlog.get_logger(__name__)

LIST_COMMANDS = (MARK_READ, RENEW_LIST)
"""What a connection to a list takes, besides AUTHENTICATE."""
EVENT_ID = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientLimits:
    """What one connection may cost, and the unfinished messages of all. Rate in commands a second; grace in seconds.
    `pending`: what may come before a caller has authenticated; `failed_logins_per_minute` as FailedLogins has it."""

    message_bytes: int
    unfinished_bytes: int
    rates: Rates
    slow_client_grace: float
    pending: PendingLimits
    failed_logins_per_minute: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientDependencies:
    """What WebSessions are made of."""

    access: AccessControl
    files: FileStore
    agents: Agents
    defaults: SessionSettings
    limits: ClientLimits
    version: str


@dataclass(frozen=True, slots=True)
class Client:
    """One connection, and what keeps it open."""

    session: WebSession | ListSession
    held: HeldToken
    conversations: Conversations


class ClientNamespace(socketio.AsyncNamespace):  # type: ignore[misc]  # python-socketio has no types
    """Makes a WebSession for each connection to a conversation, and a ListSession for each to a list."""

    def __init__(self, parts: ClientDependencies, callers: Identification, rates: RateLimits) -> None:
        super().__init__("/")
        self._rates = rates
        self._callers = callers
        self._parts = parts
        limits = parts.limits
        self._told_limits = ConnectionLimits(
            message_bytes=limits.message_bytes, messages_per_second=limits.rates.messages_per_second or None
        )
        self._clients: dict[str, Client] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        """Clients whose tokens have lapsed."""

    async def trigger_event(self, event: str, *args: Any) -> Any:
        """Every event of the namespace comes through here, so that unknown ones are answered too."""
        match event:
            case "connect":
                return await self._connect(*args)
            case "disconnect":
                return await self._disconnect(args[0])
            case _:
                return await self._command(event, args[0], args[1:])

    async def _connect(self, socket_id: str, environ: dict[str, Any], auth: object = None) -> None:
        request = environ["aiohttp.request"]
        try:
            given = _auth_of(auth, query_of(request))
            principal = await self._callers.identify(request, credentials_of(request, given.session_api_key))
            session = await self._new_session(socket_id, environ, given, principal)
        except SessionsError as error:
            if isinstance(error, AtCapacity):
                # A connect error would end the client's automatic reconnects.
                abort(request.transport)
            raise Refused(error.message, {"code": error.code}) from error
        held = HeldToken(self._callers, request, principal, partial(self._expel, session))
        self._clients[socket_id] = Client(session, held, self._parts.access.of(principal).conversations)

    async def _new_session(
        self, socket_id: str, environ: dict[str, Any], given: AuthIn, principal: Principal
    ) -> WebSession | ListSession:
        """Raises RateLimited for a new conversation; one that comes back to its own is not counted."""
        parts, request = self._parts, environ["aiohttp.request"]
        access, rates = parts.access.of(principal), self._rates.of(request)
        outbox = Outbox(self.server, socket_id, "/", environ, parts.limits.slow_client_grace)
        if _follows_list(given, principal):
            following = ListSession(access.conversations, self.server, socket_id, outbox, rates.messages)
            following.start()
            return following
        _check_providers(query_of(request).get("providers_set", ""))
        if given.conversation_id is None:
            raise BadInput("conversation_id", "is missing: name a conversation in the query or in auth")
        sid = conversation_id(given.conversation_id)
        making = _making(given.create, sid)
        if making is not None and not await _exists(access, sid):
            rates.creates.take()
        connection = Connection(
            socket_id=socket_id,
            outbox=outbox,
            bucket=rates.messages,
            protocol=given.protocol,
            after=-1 if given.after is None else given.after,
            epoch=given.epoch,
            version=parts.version,
            limits=self._told_limits,
        )
        session = WebSession(
            sid,
            parts.defaults,
            parts.agents,
            parts.files,
            self.server,
            principal.owner,
            gateway=access.gateway,
            connection=connection,
        )
        await session.initialize_agent(making=making)
        return session

    async def _disconnect(self, socket_id: str) -> None:
        client = self._clients.pop(socket_id, None)
        if client is not None:
            client.held.let_go()
            await client.session.close()

    def _expel(self, session: WebSession | ListSession, why: Lapse) -> None:
        task = asyncio.create_task(_expelled(session, why), name="a token has lapsed")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _command(self, event: str, socket_id: str, args: tuple[Any, ...]) -> Mapping[str, Json] | None:
        client = self._clients.get(socket_id)
        if client is None:
            return None
        session = client.session
        try:
            if event == AUTHENTICATE:
                session.take_turn()
                return await client.held.replace(args)
            taken = LIST_COMMANDS if isinstance(session, ListSession) else (*COMMANDS, MARK_READ)
            if event not in taken:
                raise BadInput("the event", _wrong_event(event, session))
            if len(args) != 1:
                name = event if event not in COMMANDS else "oh_user_action"
                raise BadInput(name, f"takes one object, not {len(args)} values")
            check_nesting(args[0], "the command")
            return await _carried_out(event, args[0], client)
        except SessionsError as error:
            return _refused(session, error)
        except Exception:
            log.exception("a command failed", conversation_id=session.sid)
            return _refused(session, SessionsError("the server had an internal error; its log has the details"))

    async def close(self) -> None:
        """Let every client see its session's end, and stop following."""
        await asyncio.gather(*(client.session.end() for client in list(self._clients.values())))
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=END_GRACE)


async def _carried_out(event: str, value: object, client: Client) -> Mapping[str, Json]:
    """The acknowledgement of a command. Raises BadInput, NotFound, RateLimited, …"""
    session = client.session
    if isinstance(session, WebSession) and event != MARK_READ:
        return Acknowledgement.accepting(await session.dispatch(value))
    session.take_turn()
    if isinstance(session, ListSession) and event == RENEW_LIST:
        checked(RenewListIn, value)
        session.renew()
        return Acknowledgement(ok=True).wire()
    given = checked(MarkReadIn, value)
    named = given.conversation_id or session.sid
    if named is None:
        raise BadInput("conversation_id", "is missing: name the conversation that was read")
    mark = await client.conversations.mark_read(conversation_id(named), EventId(given.event_id))
    return Acknowledgement(ok=True, event_id=mark).wire()


def _wrong_event(event: str, session: WebSession | ListSession) -> str:
    if isinstance(session, ListSession):
        return (
            f"must be {' or '.join(LIST_COMMANDS)}, not {event[:64]!r}: connect to a conversation to send it commands"
        )
    return f"must be oh_user_action, not {event[:64]!r}"


def _follows_list(given: AuthIn, principal: Principal) -> bool:
    """Raises BadInput for what means nothing of a list, and Forbidden for who has a link."""
    if given.protocol != PROTOCOL or given.conversation_id is not None or given.create is not False:
        return False
    if principal.link is not None:
        raise Forbidden("a link lets you into one conversation: name it in conversation_id")
    for name in ("after", "epoch"):
        if getattr(given, name) is not None:
            raise BadInput(name, "belongs to a conversation: name one in conversation_id, or leave this out")
    return True


async def _expelled(session: WebSession | ListSession, why: Lapse) -> None:
    try:
        await session.expel(why)
    except Exception:
        log.exception("a client whose token has lapsed did not leave", conversation_id=session.sid)


def _refused(session: WebSession | ListSession, error: SessionsError) -> dict[str, Json]:
    session.refuse(error)
    return Acknowledgement.refusing(error).wire()


def _auth_of(auth: object, query: Mapping[str, str]) -> AuthIn:
    """The `auth` payload over the query. The V0 client's `latest_event_id` that names no event counts as -1."""
    known = {name: query[name] for name in ("protocol", "conversation_id", "after", "epoch") if query.get(name)}
    latest = query.get("latest_event_id", "")
    if "after" not in known and EVENT_ID.fullmatch(latest):
        known["after"] = latest
    given = auth if isinstance(auth, dict) else {}
    check_nesting(given, "auth")
    merged = checked(AuthIn, {**known, **given})
    if merged.protocol not in (1, PROTOCOL):
        raise BadInput("protocol", f"must be {PROTOCOL}, or left out for the V0 client's")
    return merged


async def _exists(access: Access, sid: ConversationId) -> bool:
    """Whether it is the caller's."""
    try:
        await access.conversations.check(sid)
    except NotFound:
        return False
    return True


def _making(create: bool | dict[str, Any], sid: ConversationId) -> SessionSpec | None:
    """What a conversation is made with that there is not yet; None where none is to be made. Raises BadInput."""
    if create is False:
        return None
    asked = checked(CreateIn, {} if create is True else create)
    if asked.seed_messages is not None:
        raise BadInput(
            "create.seed_messages", "takes longer than a connect may: send the command `seed` once connected"
        )
    return asked.spec(sid)


def _check_providers(listed: str) -> None:
    for name in filter(None, listed.split(",")):
        if name not in PROVIDERS:
            raise NotFound("provider", name[:64])
