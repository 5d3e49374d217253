"""A model that goes by the dialogue: asked the same again, it answers the same, as after a crash."""

from collections.abc import Callable, Sequence
from itertools import count

from openhands_sessions.core.events.own import PlannedCall
from openhands_sessions.core.money import MicroDollars
from openhands_sessions.ports.model import LostCall, ModelReply, ModelRequest, Retry, Usage
from tests.fakes.model import FakeReply


class PlanModel:
    """Gives the reply that comes next in `plan`, counted by its own words in the dialogue; to a request to sum up, a
    summary. `requests` is the record."""

    name = "fake"
    vision = True
    window: int | None = None

    def __init__(self, plan: Sequence[FakeReply]) -> None:
        self.requests: list[ModelRequest] = []
        self._plan = list(plan)
        self._numbers = count(1)

    async def complete(
        self,
        request: ModelRequest,
        on_text: Callable[[str], None],
        on_retry: Callable[[Retry], None],
        on_thought: Callable[[str], None] = lambda text: None,
        on_lost: Callable[[LostCall], None] = lambda call: None,
    ) -> ModelReply:
        self.requests.append(request)
        number = next(self._numbers)
        if request.messages[-1].get("content") == "Sum up!":
            return ModelReply(id=f"summary-{number}", text=f"Summary {number}.")
        reply = self._plan[sum(message["role"] == "assistant" for message in request.messages)]
        on_text(reply.text)
        calls = [
            PlannedCall(id=f"call-{number}-{place}", name=call.name, arguments=call.text)
            for place, call in enumerate(reply.calls)
        ]
        return ModelReply(id=f"reply-{number}", text=reply.text, calls=calls, usage=reply.usage)

    def price(self, usage: Usage) -> MicroDollars | None:
        return None
