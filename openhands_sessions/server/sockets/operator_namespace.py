"""Namespace `/operator`: a snapshot of all sessions, then every change of state; and commands to them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import socketio
import structlog
from socketio.exceptions import ConnectionRefusedError as Refused

from openhands_sessions.core.errors import SessionsError, Unauthorized
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.access import Principal
from openhands_sessions.ports.operations import Operations, OperatorCommands, Overview
from openhands_sessions.protocol.errors import Acknowledgement
from openhands_sessions.protocol.operators import OperatorOverview, OperatorStatus
from openhands_sessions.protocol.payloads import checked
from openhands_sessions.protocol.socket_messages import AUTHENTICATE, AuthIn, Ended
from openhands_sessions.server.credentials import credentials_of
from openhands_sessions.server.held_token import HeldToken
from openhands_sessions.server.identification import Identification
from openhands_sessions.server.packets import message_packet
from openhands_sessions.server.slow_client import END_GRACE, Outbox, SlowClient
from openhands_sessions.server.sockets.operator_commands import carry_out

log = structlog.get_logger(__name__)

NAMESPACE = "/operator"
INTERNAL = "the server had an internal error; its log has the details"


@dataclass(frozen=True, slots=True)
class Operator:
    """One connection: who it is, what keeps it open, and what sends to it."""

    principal: Principal
    held: HeldToken
    watching: "asyncio.Task[None]"


class OperatorNamespace(socketio.AsyncNamespace):  # type: ignore[misc]  # python-socketio has no types
    """One watching task per operator; `sessions` first and after falling behind, then `session` for each change."""

    def __init__(
        self, operations: Operations, commands: OperatorCommands, callers: Identification, slow_client_grace: float
    ) -> None:
        super().__init__(NAMESPACE)
        self._operations = operations
        self._commands = commands
        self._callers = callers
        self._grace = slow_client_grace
        self._operators: dict[str, Operator] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        """Operators whose tokens have lapsed."""

    async def trigger_event(self, event: str, *args: Any) -> Any:
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
            given = checked(AuthIn, auth if isinstance(auth, dict) else {})
            principal = await self._callers.identify(request, credentials_of(request, given.session_api_key))
            if not principal.watches:
                raise Unauthorized("only operators may watch all sessions")
        except SessionsError as error:
            raise Refused(error.message, {"code": error.code}) from error
        outbox = Outbox(self.server, socket_id, NAMESPACE, environ, self._grace)
        watching = asyncio.create_task(self._watch(outbox), name=f"operator {socket_id}")
        held = HeldToken(self._callers, request, principal, partial(self._expel, socket_id, outbox))
        self._operators[socket_id] = Operator(principal, held, watching)

    async def _command(self, event: str, socket_id: str, values: tuple[Any, ...]) -> Mapping[str, Json] | None:
        operator = self._operators.get(socket_id)
        if operator is None:
            return None
        try:
            if event == AUTHENTICATE:
                return await operator.held.replace(values)
            return await carry_out(self._commands, operator.principal.owner, event, values)
        except SessionsError as error:
            return Acknowledgement.refusing(error).wire()
        except Exception:
            log.exception("an operator's command failed", command=event[:64])
            return Acknowledgement.refusing(SessionsError(INTERNAL)).wire()

    def _expel(self, socket_id: str, outbox: Outbox, why: Lapse) -> None:
        task = asyncio.create_task(self._expelled(socket_id, outbox, why), name="a token has lapsed")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _expelled(self, socket_id: str, outbox: Outbox, why: Lapse) -> None:
        await self._disconnect(socket_id)
        outbox.put([message_packet("ended", Ended(reason=why).wire(), NAMESPACE)])
        try:
            await outbox.drained()
            await self.server.disconnect(socket_id, namespace=NAMESPACE)
        except SlowClient:
            outbox.abort()
        except Exception:
            log.exception("an operator whose token has lapsed did not leave")

    async def _watch(self, outbox: Outbox) -> None:
        try:
            async for news in self._operations.watch():
                if isinstance(news, Overview):
                    overview = OperatorOverview.of(news, self._operations.limits, self._operations.draining)
                    packets = [message_packet("sessions", overview.wire(), NAMESPACE)]
                else:
                    changes = [OperatorStatus.model_validate(status, from_attributes=True) for status in news]
                    packets = [message_packet("session", change.wire(), NAMESPACE) for change in changes]
                await outbox.send(packets)
            outbox.close()
        except SlowClient:
            log.warning("operator cut", reason="slow_consumer")
            await outbox.end()

    async def _disconnect(self, socket_id: str) -> None:
        operator = self._operators.pop(socket_id, None)
        if operator is not None:
            operator.held.let_go()
            operator.watching.cancel()
            await asyncio.wait([operator.watching])

    async def close(self) -> None:
        """Let every operator see the last changes, for at most END_GRACE seconds, and end its connection."""
        self._operations.end_watching()
        if self._operators:
            await asyncio.wait([each.watching for each in self._operators.values()], timeout=END_GRACE)
        for socket_id in list(self._operators):
            await self._disconnect(socket_id)
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=END_GRACE)
