"""Whose turn it is where an agent hands over to another one. Pure."""

from collections.abc import Mapping

from openhands_sessions.core.events.event import Event
from openhands_sessions.core.events.handoff import HandedOverObservation
from openhands_sessions.core.events.observations import DelegateObservation


def handed_over(event: Event) -> Mapping[str, str | None]:
    """What the event changes of the view's `agent_name` and `handing_to`."""
    match event:
        case DelegateObservation(outputs={"handoff": str() as agent}):
            return {"handing_to": agent}
        case HandedOverObservation(agent=agent):
            return {"agent_name": agent, "handing_to": None}
        case _:
            return {}
