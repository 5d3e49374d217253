"""What operators do to the sessions of this process."""

from dataclasses import asdict, replace

import structlog

from openhands_sessions.core.commands import Stop
from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.ports.operations import LimitChanges
from openhands_sessions.service.session_service import SessionService

log = structlog.get_logger(__name__)


class OperatorControl:
    """An OperatorCommands."""

    def __init__(self, sessions: SessionService) -> None:
        self._sessions = sessions
        self._registry = sessions.registry

    async def stop_turn(self, sid: ConversationId, by: OwnerId) -> Accepted:
        session = self._registry.find(sid)
        if session is None:
            raise NotFound("live session", sid)
        accepted = await session.submit(Stop(), None, by)
        log.info("an operator has stopped a turn", conversation_id=sid, operator=by, turn=accepted.turn)
        return accepted

    async def close_session(self, sid: ConversationId, by: OwnerId) -> None:
        row = self._registry.row(sid)
        if row is None:
            raise NotFound("live session", sid)
        await self._sessions.close(row, "stopped")
        log.info("an operator has closed a session", conversation_id=sid, operator=by)

    def set_limits(self, changes: LimitChanges, by: OwnerId) -> None:
        limits = self._registry.limits
        per_user, per_address = changes.max_sessions_per_user, changes.max_sessions_per_address
        for name, old, new in (
            ("max_sessions_per_user", limits.per_user, per_user),
            ("max_sessions_per_address", limits.per_address, per_address),
        ):
            if old is None and new is not None:
                raise BadInput(name, "must be left out: this server does not tell its users apart")
        limits = replace(limits, total=limits.total if changes.max_sessions is None else changes.max_sessions)
        limits = replace(limits, per_user=limits.per_user if per_user is None else per_user)
        self._registry.limits = replace(limits, per_address=limits.per_address if per_address is None else per_address)
        log.info("an operator has set limits", operator=by, **asdict(self._registry.limits))

    def drain(self, draining: bool, by: OwnerId) -> None:
        self._registry.draining = draining
        log.info("an operator has changed the admission of sessions", operator=by, draining=draining)
