"""Namespace `/`: clients of conversations."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import socketio
import structlog
from socketio.exceptions import ConnectionRefusedError as Refused

from openhands_sessions.core.errors import AtCapacity, BadInput, NotFound, SessionsError
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import conversation_id
from openhands_sessions.core.json_limits import check_nesting
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.access import AccessControl
from openhands_sessions.ports.agent import Agents
from openhands_sessions.ports.files import FileStore
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.protocol.conversations import CreateIn
from openhands_sessions.protocol.errors import Acknowledgement
from openhands_sessions.protocol.payloads import checked
from openhands_sessions.protocol.settings import PROVIDERS
from openhands_sessions.protocol.socket_messages import COMMANDS, PROTOCOL, AuthIn, ConnectionLimits
from openhands_sessions.server.caller_rates import RateLimits, Rates
from openhands_sessions.server.credentials import credentials_of, query_of
from openhands_sessions.server.identification import Identification
from openhands_sessions.server.slow_client import Outbox, abort
from openhands_sessions.server.web_session import Connection, WebSession

log = structlog.get_logger(__name__)

EVENT_ID = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientLimits:
    """What one connection may cost, and the unfinished messages of all. Rate in commands a second; grace in seconds."""

    message_bytes: int
    unfinished_bytes: int
    rates: Rates
    slow_client_grace: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientDependencies:
    """What WebSessions are made of."""

    access: AccessControl
    files: FileStore
    agents: Agents
    defaults: SessionSettings
    limits: ClientLimits
    version: str


class ClientNamespace(socketio.AsyncNamespace):  # type: ignore[misc]  # python-socketio has no types
    """Makes a WebSession for each connection."""

    def __init__(self, parts: ClientDependencies, callers: Identification, rates: RateLimits) -> None:
        super().__init__("/")
        self._rates = rates
        self._callers = callers
        self._parts = parts
        limits = parts.limits
        self._told_limits = ConnectionLimits(
            message_bytes=limits.message_bytes, messages_per_second=limits.rates.messages_per_second or None
        )
        self._sessions: dict[str, WebSession] = {}

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
        try:
            session, given = await self._new_session(socket_id, environ, auth)
            making = _making(given.create, session)
            if making is not None:
                self._rates.of(environ["aiohttp.request"]).creates.take()
            await session.initialize_agent(making=making)
        except SessionsError as error:
            if isinstance(error, AtCapacity):
                # A connect error would end the client's automatic reconnects.
                abort(environ["aiohttp.request"].transport)
            raise Refused(error.message, {"code": error.code}) from error
        self._sessions[socket_id] = session

    async def _new_session(self, socket_id: str, environ: dict[str, Any], auth: object) -> tuple[WebSession, AuthIn]:
        parts = self._parts
        query = query_of(environ)
        given = _auth_of(auth, query)
        credentials = credentials_of(environ, given.session_api_key)
        principal = await self._callers.identify(environ["aiohttp.request"], credentials)
        _check_providers(query.get("providers_set", ""))
        if given.conversation_id is None:
            raise BadInput("conversation_id", "is missing: name a conversation in the query or in auth")
        sid = conversation_id(given.conversation_id)
        limits = parts.limits
        connection = Connection(
            socket_id=socket_id,
            outbox=Outbox(self.server, socket_id, "/", environ, limits.slow_client_grace),
            bucket=self._rates.of(environ["aiohttp.request"]).messages,
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
            gateway=parts.access.of(principal).gateway,
            connection=connection,
        )
        return session, given

    async def _disconnect(self, socket_id: str) -> None:
        session = self._sessions.pop(socket_id, None)
        if session is not None:
            await session.close()

    async def _command(self, event: str, socket_id: str, args: tuple[Any, ...]) -> Mapping[str, Json] | None:
        session = self._sessions.get(socket_id)
        if session is None:
            return None
        try:
            if event not in COMMANDS:
                raise BadInput("the event", f"must be oh_user_action, not {event[:64]!r}")
            if len(args) != 1:
                raise BadInput("oh_user_action", f"takes one object, not {len(args)} values")
            check_nesting(args[0], "the command")
            accepted = await session.dispatch(args[0])
        except SessionsError as error:
            return _refused(session, error)
        except Exception:
            log.exception("a command failed", conversation_id=session.sid)
            return _refused(session, SessionsError("the server had an internal error; its log has the details"))
        return Acknowledgement.accepting(accepted.id)

    async def close(self) -> None:
        """Let every client see its session's end, and stop following."""
        await asyncio.gather(*(session.end() for session in list(self._sessions.values())))


def _refused(session: WebSession, error: SessionsError) -> dict[str, Json]:
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


def _making(create: bool | dict[str, Any], session: WebSession) -> SessionSpec | None:
    """What a conversation is made with that there is not yet; None where none is to be made. Raises BadInput."""
    if create is False:
        return None
    return checked(CreateIn, {} if create is True else create).spec(session.sid)


def _check_providers(listed: str) -> None:
    for name in filter(None, listed.split(",")):
        if name not in PROVIDERS:
            raise NotFound("provider", name[:64])
