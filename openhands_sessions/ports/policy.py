"""What actions risk, and which of them run, wait for the user's answer, or are refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from openhands_sessions.core.confirmation_rules import ConfirmationRule
from openhands_sessions.core.events.event import Action
from openhands_sessions.core.money import MicroDollars
from openhands_sessions.core.settings import SessionSettings


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an action; `rule` is the one that decides, None where no rule does. `price` is what it costs at
    most, where an auto-approval budget decides in the user's place: with one, it runs where the price fits, and asks
    where it does not."""

    decision: Literal["allow", "ask", "deny"]
    rule: ConfirmationRule | None = None
    price: MicroDollars | None = None


class Policy(Protocol):
    """One policy; stateless and quick."""

    def graded(self, action: Action, settings: SessionSettings) -> Action:
        """The action with its risk, as the conversation's security analyzer sees it. Called before `verdict`."""

    def verdict(
        self, action: Action, settings: SessionSettings, remembered: Sequence[ConfirmationRule] = ()
    ) -> Verdict:
        """What becomes of the action. `remembered` are rules of the conversation, which come before those of its
        settings."""
