"""The ports of each caller over this process's own store, sessions and sandboxes."""

from collections.abc import Callable

from openhands_sessions.ports.access import Access, Principal
from openhands_sessions.ports.memory import Memory
from openhands_sessions.ports.runtime import Runtimes
from openhands_sessions.ports.sharing import Sharing
from openhands_sessions.ports.state import States
from openhands_sessions.ports.usage import UsageReports
from openhands_sessions.ports.workspaces import UploadLimits
from openhands_sessions.service.local_conversations import LocalConversations
from openhands_sessions.service.local_gateway import LocalGateway
from openhands_sessions.service.local_workspaces import LocalWorkspaces
from openhands_sessions.service.session_service import SessionService


class LocalAccess:
    """An AccessControl: who may do what is decided by `SessionService.permitted`."""

    def __init__(
        self,
        sessions: SessionService,
        runtimes: Runtimes,
        memory: Memory,
        limits: UploadLimits,
        *,
        usage: Callable[[Principal], UsageReports],
        sharing: Callable[[Principal], Sharing],
        states: Callable[[Principal], States],
    ) -> None:
        self._sessions = sessions
        self._runtimes = runtimes
        self._memory = memory
        self._limits = limits
        self._usage = usage
        self._sharing = sharing
        self._states = states

    def of(self, principal: Principal) -> Access:
        conversations = LocalConversations(self._sessions, self._runtimes, principal)
        return Access(
            LocalGateway(self._sessions, principal, conversations.delete),
            conversations,
            LocalWorkspaces(self._sessions, self._memory, self._limits, principal),
            self._usage(principal),
            self._sharing(principal),
            self._states(principal),
        )
