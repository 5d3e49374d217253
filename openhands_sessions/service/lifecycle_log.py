"""The lines of a session's life: one for each state that it comes to."""

import structlog

from openhands_sessions.core.errors import StageFailed
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.core.lifecycle import SET_UP, SessionState
from openhands_sessions.core.masking import without_paths
from openhands_sessions.session.agent_session import AgentSession

log = structlog.get_logger(__name__)

LONGEST_PROBLEM = 500


def log_state(session: AgentSession, owner: OwnerId, cause: str | None = None) -> None:
    """A failure says its problem, without secrets and host paths. `cause` where the state does not tell it."""
    about: dict[str, str] = {"conversation_id": session.sid, "owner": owner, "state": str(session.state)}
    about["cause"] = cause or _cause(session)
    problem = session.problem
    if session.state is SessionState.ERROR and problem is not None:
        if isinstance(problem, StageFailed):
            about |= {"stage": problem.stage, "error": problem.cause_name}
        about["cause"] = problem.code
        about["problem"] = session.event_stream.masker.text(without_paths(problem.message))[:LONGEST_PROBLEM]
    log.info("session state", **about)


def _cause(session: AgentSession) -> str:
    match session.state:
        case SessionState.RUNNING:
            return "a turn begins"
        case SessionState.READY:
            return f"the agent is {session.event_stream.view.agent_state}"
        case SessionState.CLOSING | SessionState.CLOSED:
            return session.reason or "shutdown"
        case state:
            return "set-up" if state in SET_UP else "asked for"
