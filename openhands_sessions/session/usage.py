"""Adds a reply's usage to the conversation's, in the wire's form."""

from math import isfinite

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.model import ModelReply


def metrics(view: ConversationView, reply: ModelReply, budget: float | None) -> dict[str, Json]:
    """`llm_metrics` of the first event that a reply leads to: what the conversation has used with it."""
    usage = reply.usage
    return {
        "accumulated_cost": view.cost + (usage.cost if isfinite(usage.cost) else 0.0),
        "max_budget_per_task": budget,
        "accumulated_token_usage": {
            "model": reply.model,
            "prompt_tokens": view.prompt_tokens + usage.prompt_tokens,
            "completion_tokens": view.completion_tokens + usage.completion_tokens,
            "cache_read_tokens": view.cache_read_tokens + usage.cache_read_tokens,
            "cache_write_tokens": view.cache_write_tokens + usage.cache_write_tokens,
            "context_window": 0,
            "per_turn_token": usage.prompt_tokens + usage.completion_tokens,
            "response_id": reply.id,
        },
        "costs": [],
        "response_latencies": [],
        "token_usages": [],
    }
