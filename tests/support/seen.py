"""Events as clients see them, and short words for them."""

from collections.abc import Sequence
from typing import Any

Event = dict[str, Any]
"""A stored event, as it came over the wire."""


def kind_of(event: Event) -> str:
    return f"action:{event['action']}" if "action" in event else f"observation:{event['observation']}"


def state_of(event: Event) -> str | None:
    """The agent state that an event tells of, if any."""
    return event["extras"]["agent_state"] if event.get("observation") == "agent_state_changed" else None


def shown(events: Sequence[Event]) -> list[str]:
    """Events in few words, for messages of failed tests."""
    return [f"{event['id']} {kind_of(event)} {str(event.get('message'))[:60]!r}" for event in events]
