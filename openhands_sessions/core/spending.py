"""What model calls have used, as the log says it: the records of the calls, or, in a log without them, the events of
their replies. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from openhands_sessions.core.events.event import Action, Event, Json
from openhands_sessions.core.events.own import ModelCalledObservation
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.metrics import cost, token_counts
from openhands_sessions.core.money import MicroDollars, micro_dollars

_TOKENS = ("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens")


def spends(response_id: str, event: Event) -> bool:
    """Whether the event is the first of a model's reply, so that its call counts. `response_id` is that of the newest
    plan, empty for none: its calls repeat its usage."""
    if event.llm_metrics is None or not isinstance(event, Action):
        return False
    call = event.tool_call_metadata
    return call is None or not response_id or call.model_response.get("id") != response_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What the model calls of a conversation have used. `recorded`: there are records of them; what the events of
    replies say of usage is then only for clients."""

    recorded: bool = False
    cost: MicroDollars = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def with_call(self, call: ModelCalledObservation) -> "Spent":
        """After one more recorded call."""
        return Spent(
            recorded=True,
            cost=self.cost + (call.micro_dollars or 0),
            prompt_tokens=self.prompt_tokens + call.prompt_tokens,
            completion_tokens=self.completion_tokens + call.completion_tokens,
            cache_read_tokens=self.cache_read_tokens + call.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + call.cache_write_tokens,
        )

    def with_reply(self, metrics: Mapping[str, Json]) -> "Spent":
        """After a reply whose events say what the conversation has used with it."""
        if self.recorded:
            return self
        return evolve(self, cost=micro_dollars(cost(metrics)) or 0, **token_counts(metrics, *_TOKENS))
