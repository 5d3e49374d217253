"""Namespace `/operator`: a snapshot of all sessions, then every change of state."""

import asyncio
from typing import Any

import socketio
import structlog
from socketio.exceptions import ConnectionRefusedError as Refused

from openhands_sessions.core.errors import BadInput, SessionsError, Unauthorized
from openhands_sessions.ports.access import Operations, Overview
from openhands_sessions.protocol.errors import Acknowledgement
from openhands_sessions.protocol.payloads import checked
from openhands_sessions.protocol.socket_messages import AuthIn, OperatorOverview, OperatorStatus
from openhands_sessions.server.credentials import credentials_of
from openhands_sessions.server.identification import Identification
from openhands_sessions.server.packets import message_packet
from openhands_sessions.server.slow_client import END_GRACE, Outbox, SlowClient

log = structlog.get_logger(__name__)

NAMESPACE = "/operator"
REFUSAL = Acknowledgement(ok=False, code=BadInput.code, message="operators only watch; commands go to /").wire()


class OperatorNamespace(socketio.AsyncNamespace):  # type: ignore[misc]  # python-socketio has no types
    """One watching task per operator; `sessions` first and after falling behind, then `session` for each change."""

    def __init__(self, operations: Operations, callers: Identification, slow_client_grace: float) -> None:
        super().__init__(NAMESPACE)
        self._operations = operations
        self._callers = callers
        self._grace = slow_client_grace
        self._watching: dict[str, asyncio.Task[None]] = {}

    async def trigger_event(self, event: str, *args: Any) -> Any:
        match event:
            case "connect":
                return await self._connect(*args)
            case "disconnect":
                return await self._disconnect(args[0])
            case _:
                return REFUSAL

    async def _connect(self, socket_id: str, environ: dict[str, Any], auth: object = None) -> None:
        try:
            given = checked(AuthIn, auth if isinstance(auth, dict) else {})
            credentials = credentials_of(environ, given.session_api_key)
            principal = await self._callers.identify(environ["aiohttp.request"], credentials)
            if not principal.operator:
                raise Unauthorized("only operators may watch all sessions")
        except SessionsError as error:
            raise Refused(error.message, {"code": error.code}) from error
        outbox = Outbox(self.server, socket_id, NAMESPACE, environ, self._grace)
        self._watching[socket_id] = asyncio.create_task(self._watch(outbox), name=f"operator {socket_id}")

    async def _watch(self, outbox: Outbox) -> None:
        try:
            async for news in self._operations.watch():
                if isinstance(news, Overview):
                    overview = OperatorOverview.model_validate(news, from_attributes=True)
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
        task = self._watching.pop(socket_id, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def close(self) -> None:
        """Let every operator see the last changes, for at most END_GRACE seconds, and end its connection."""
        self._operations.end_watching()
        if self._watching:
            await asyncio.wait(self._watching.values(), timeout=END_GRACE)
        for socket_id in list(self._watching):
            await self._disconnect(socket_id)
