"""What actions risk, and which of them the user is asked about."""

from typing import Protocol

from openhands_sessions.core.events.event import Action
from openhands_sessions.core.settings import SessionSettings


class Policy(Protocol):
    """One policy; stateless and quick."""

    def graded(self, action: Action, settings: SessionSettings) -> Action:
        """The action with its risk, as the conversation's security analyzer sees it. Called before `asks`."""

    def asks(self, action: Action, settings: SessionSettings) -> bool:
        """True where the action must wait for the user's answer."""
