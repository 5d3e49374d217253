"""Which actions the user is asked about."""

from typing import Protocol

from openhands_sessions.core.events.event import Action
from openhands_sessions.core.settings import SessionSettings


class Policy(Protocol):
    """One policy; stateless and quick."""

    def asks(self, action: Action, settings: SessionSettings) -> bool:
        """True where the action must wait for the user's answer."""
