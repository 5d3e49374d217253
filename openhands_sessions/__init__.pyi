from openhands_sessions.core.errors import RevisionConflict as RevisionConflict
from openhands_sessions.core.errors import SessionBusy as SessionBusy
from openhands_sessions.core.errors import SessionsError as SessionsError
from openhands_sessions.core.errors import TurnFailed as TurnFailed
from openhands_sessions.core.errors import TurnTimeout as TurnTimeout
from openhands_sessions.sdk.agent import Agent as Agent
from openhands_sessions.sdk.agent import tool as tool
from openhands_sessions.sdk.approvals import Allow as Allow
from openhands_sessions.sdk.approvals import ApprovalNeeded as ApprovalNeeded
from openhands_sessions.sdk.approvals import Deny as Deny
from openhands_sessions.sdk.results import TurnResult as TurnResult
from openhands_sessions.sdk.session import Session as Session
from openhands_sessions.sdk.shared_state import SharedState as SharedState

__version__: str
__all__: list[str]
