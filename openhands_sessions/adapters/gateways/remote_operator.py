"""An operator's connection to another server: what is live there, and the commands to it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from socketio.exceptions import SocketIOError

from openhands_sessions.adapters.gateways.reading import accepted, read
from openhands_sessions.adapters.gateways.rest import ServerAddress, http_session
from openhands_sessions.adapters.gateways.socket_client import BROKEN, begin, end, no_websocket, socket_client
from openhands_sessions.core.errors import SessionsError, Unreachable
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.ports.operations import SessionStatus
from openhands_sessions.protocol.errors import Acknowledgement, error_of
from openhands_sessions.protocol.operators import (
    CLOSE,
    STOP,
    CloseSessionIn,
    OperatorOverview,
    OperatorStatus,
    StopTurnIn,
)
from openhands_sessions.protocol.socket_messages import AuthIn

NAMESPACE = "/operator"
ANSWER_SECONDS = 30.0


class RemoteOperator:
    """An OperatorAccess; made by `open_operator`."""

    def __init__(self, client: Any, sessions: Sequence[SessionStatus]) -> None:
        self._client = client
        self.sessions = sessions

    async def stop_turn(self, sid: ConversationId) -> Accepted:
        return accepted(await self._call(STOP, StopTurnIn(conversation_id=sid)))

    async def close_session(self, sid: ConversationId) -> None:
        answer = await self._call(CLOSE, CloseSessionIn(conversation_id=sid))
        if not read(Acknowledgement, answer, "an acknowledgement").ok:
            raise error_of(answer)

    async def _call(self, event: str, body: StopTurnIn | CloseSessionIn) -> Any:
        try:
            return await self._client.call(event, body.model_dump(), namespace=NAMESPACE, timeout=ANSWER_SECONDS)
        except (SocketIOError, TimeoutError) as error:
            raise Unreachable("the server does not answer; the command may have taken effect") from error


@asynccontextmanager
async def open_operator(url: str, session_api_key: str | None) -> AsyncIterator[RemoteOperator]:
    """Connect as an operator. Raises Unauthorized for who is none, Unreachable, BadInput for what is no address."""
    address = ServerAddress.of(url)
    async with http_session(session_api_key) as session:
        client = socket_client(session)
        try:
            told = await _overview(client, address)
            yield RemoteOperator(client, [_status(each) for each in told.sessions])
        finally:
            await end(client)


async def _overview(client: Any, address: ServerAddress) -> OperatorOverview:
    arrived: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    client.on("sessions", partial(_settle, arrived), namespace=NAMESPACE)
    client.on("connect_error", partial(_refuse, arrived), namespace=NAMESPACE)
    client.on("disconnect", lambda *reason: _refuse(arrived), namespace=NAMESPACE)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await begin(client, address, AuthIn(), NAMESPACE)
            return read(OperatorOverview, await arrived, "an overview")
    except (*BROKEN, TimeoutError) as error:
        raise no_websocket(address) from error


def _settle(arrived: "asyncio.Future[object]", told: object = None) -> None:
    if not arrived.done():
        arrived.set_result(told)


def _refuse(arrived: "asyncio.Future[object]", told: object = None) -> None:
    if not arrived.done():
        problem: SessionsError = Unreachable("the server has ended the connection")
        arrived.set_exception(error_of(told) if isinstance(told, dict) else problem)


def _status(told: OperatorStatus) -> SessionStatus:
    values = {name: getattr(told, name) for name in OperatorStatus.model_fields}
    return SessionStatus(
        **{**values, "conversation_id": ConversationId(told.conversation_id), "owner": OwnerId(told.owner)}
    )
