"""Rules that a user has a decision remember for all conversations: read from the log, kept in the user's settings."""

from collections.abc import Sequence

from openhands_sessions.core.commands import Answer, Command, Decide
from openhands_sessions.core.confirmation_rules import ConfirmationRule, remembered_rule
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.events.own import AlwaysAllowedAction, RuleScope
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.store import EventLog


def remembers(command: Command) -> bool:
    """Whether the command asks for rules of its user's."""
    match command:
        case Answer(always=always):
            return always is RuleScope.USER
        case Decide(decisions=decisions):
            return any(one.always is RuleScope.USER for one in decisions)
        case _:
            return False


async def remembered_rules(log: EventLog, first: EventId) -> Sequence[ConfirmationRule]:
    """Those of the command whose events begin with `first`: what one command appends has one time."""
    found: list[ConfirmationRule] = []
    begun: Event | None = None
    async for batch in log.read(first - 1):
        for event in (decode(entry.text, entry.schema) for entry in batch):
            begun = begun or event
            if event.timestamp != begun.timestamp:
                return found
            if isinstance(event, AlwaysAllowedAction) and event.scope is RuleScope.USER:
                found.append(remembered_rule(event.tool, event.pattern))
    return found
