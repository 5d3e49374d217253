"""What model calls have used, as the events of their replies say it. Pure."""

from collections.abc import Mapping
from typing import Any

from openhands_sessions.core.events.event import Action, Event, Json
from openhands_sessions.core.metrics import cost, token_counts

TOKENS = ("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens")


def spends(response_id: str, event: Event) -> bool:
    """Whether the event is the first of a model call, so that its usage counts. `response_id` is that of the newest
    plan, empty for none: its calls repeat its usage."""
    if event.llm_metrics is None or not isinstance(event, Action):
        return False
    call = event.tool_call_metadata
    return call is None or not response_id or call.model_response.get("id") != response_id


def spent(metrics: Mapping[str, Json]) -> Mapping[str, Any]:
    """Cost and tokens of the conversation, by the names that the view has for them."""
    return {"cost": cost(metrics), **token_counts(metrics, *TOKENS)}
