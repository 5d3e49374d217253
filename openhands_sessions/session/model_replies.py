"""What a model's reply becomes in the log: its usage, its calls with ids that differ, and what is kept beside them."""

from collections.abc import Sequence

from openhands_sessions.core.dialogue import CUT
from openhands_sessions.core.events.event import Json, Source
from openhands_sessions.core.events.own import ModelReplyAction, PlannedCall
from openhands_sessions.core.money import dollars
from openhands_sessions.core.spending import Spent
from openhands_sessions.ports.model import ModelReply, RequestedCall

ANSWER_CUT = {
    "length": "The answer is cut: the model reached the limit of its output. Say continue to have the rest.",
    "content_filter": "The answer is cut: the content filter of the model's provider ended it.",
}
"""The message to the user about an answer that is not whole, by the reason."""


def metrics(spent: Spent, reply: ModelReply, *, budget: float | None, window: int | None) -> dict[str, Json]:
    """`llm_metrics` of the first event that a reply leads to: what the conversation has used, the reply included, as
    clients of the V0 protocol read it. `window` is in tokens; None, which stands there as 0, where it is not known."""
    usage = reply.usage
    return {
        "accumulated_cost": dollars(spent.cost),
        "max_budget_per_task": budget,
        "accumulated_token_usage": {
            "model": reply.model,
            "prompt_tokens": spent.prompt_tokens,
            "completion_tokens": spent.completion_tokens,
            "cache_read_tokens": spent.cache_read_tokens,
            "cache_write_tokens": spent.cache_write_tokens,
            "context_window": window or 0,
            "per_turn_token": usage.prompt_tokens + usage.completion_tokens,
            "response_id": reply.id,
        },
        "costs": [],
        "response_latencies": [],
        "token_usages": [],
    }


def distinct(calls: Sequence[PlannedCall]) -> tuple[PlannedCall, ...]:
    """The calls with ids that differ: a model that repeats one must not lose a call."""
    taken: set[str] = set()
    plan: list[PlannedCall] = []
    for place, call in enumerate(calls):
        name = call.id if call.id and call.id not in taken else f"{call.id or 'call'}_{place}"
        taken.add(name)
        plan.append(PlannedCall(id=name, name=call.name, arguments=call.arguments))
    return tuple(plan)


def said_beside(
    reply: ModelReply, response: str, plan: Sequence[PlannedCall], model: str | None
) -> ModelReplyAction | None:
    """What must be kept of a reply besides its text and the calls in `plan`; None for nothing. `model` is the name by
    which it is asked again."""
    pairs = zip(plan, reply.calls, strict=True)
    calls: dict[str, Json] = {
        call.id: dict(asked.extra) for call, asked in pairs if isinstance(asked, RequestedCall) and asked.extra
    }
    empty = not plan and not reply.text.strip()
    if not (reply.thoughts or reply.extra or calls or reply.finish in CUT or empty):
        return None
    return ModelReplyAction(
        source=Source.AGENT,
        response_id=response,
        model=model or reply.model,
        finish_reason=reply.finish,
        thoughts=reply.thoughts,
        extra=reply.extra,
        calls=calls,
    )
