"""Asks about everything that changes something, where the conversation is in confirmation mode."""

from openhands_sessions.core.events.actions import EditAction, McpAction, RunAction, RunIpythonAction, WriteAction
from openhands_sessions.core.events.event import Action
from openhands_sessions.core.settings import SessionSettings

CHANGES = (RunAction, RunIpythonAction, EditAction, WriteAction, McpAction)


class ConfirmationMode:
    """The policy."""

    def asks(self, action: Action, settings: SessionSettings) -> bool:
        return settings.confirmation_mode and isinstance(action, CHANGES)
