"""Asks about everything that changes something, where the conversation is in confirmation mode; with the analyzer
`rules`, only about what is more than looking."""

from openhands_sessions.adapters.policies import risk
from openhands_sessions.core.events.actions import EditAction, McpAction, RunAction, RunIpythonAction, WriteAction
from openhands_sessions.core.events.event import Action
from openhands_sessions.core.settings import SessionSettings

CHANGES = (RunAction, RunIpythonAction, EditAction, WriteAction, McpAction)


class ConfirmationMode:
    """The policy."""

    def graded(self, action: Action, settings: SessionSettings) -> Action:
        return risk.graded(action) if settings.security_analyzer == "rules" else action

    def asks(self, action: Action, settings: SessionSettings) -> bool:
        if not settings.confirmation_mode or not isinstance(action, CHANGES):
            return False
        return settings.security_analyzer != "rules" or getattr(action, "security_risk", None) != risk.LOW
