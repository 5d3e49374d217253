"""A model that sums up by itself, and refuses what it is told to refuse."""

import asyncio
from collections.abc import Awaitable, Callable

from openhands_sessions.core.errors import ModelFailure, Refusal
from openhands_sessions.core.money import MicroDollars
from openhands_sessions.ports.model import LostCall, ModelReply, ModelRequest, Retry, Usage
from tests.fakes.model import FAKE_USAGE, FakeModel, FakeReply
from tests.support.valid_history import valid

Refuses = Callable[[ModelRequest], Refusal | None]


def is_sum(request: ModelRequest) -> bool:
    return request.messages[-1]["content"] == "Sum up!"


class SummingModel:
    """Answers a request for a summary with one, and everything else by script. `refuses` decides what is refused, and
    why; `look` is shown each request that is answered by script; `hold` delays summaries until it is set. Fails on
    a history that no provider would take."""

    vision = True

    def __init__(self, *replies: FakeReply, refuses: Refuses = lambda request: None, window: int | None = None) -> None:
        self.name = "fake"
        self.window = window
        self.refuses = refuses
        self.requests: list[ModelRequest] = []
        """All of them; the lists below are its parts."""
        self.refused: list[ModelRequest] = []
        self.sums: list[ModelRequest] = []
        self.taken: list[ModelRequest] = []
        self.summing = asyncio.Event()
        self.hold: asyncio.Event | None = None
        self.look: Callable[[ModelRequest], Awaitable[None]] | None = None
        self._script = FakeModel(replies)

    def play(self, *replies: FakeReply) -> None:
        """Add to the script."""
        self._script.play(*replies)

    async def complete(
        self,
        request: ModelRequest,
        on_text: Callable[[str], None],
        on_retry: Callable[[Retry], None],
        on_thought: Callable[[str], None] = lambda text: None,
        on_lost: Callable[[LostCall], None] = lambda call: None,
    ) -> ModelReply:
        assert valid([dict(message) for message in request.messages])
        self.requests.append(request)
        if refusal := self.refuses(request):
            self.refused.append(request)
            raise ModelFailure("STATUS$ERROR", f"The model's provider refused the request: {refusal}.", refusal)
        if not is_sum(request):
            self.taken.append(request)
            if self.look is not None:
                await self.look(request)
            return await self._script.complete(request, on_text, on_retry, on_thought, on_lost)
        self.sums.append(request)
        self.summing.set()
        if self.hold is not None:
            await self.hold.wait()
        return ModelReply(id="sum", text=f"Summary {len(self.sums)}.", usage=FAKE_USAGE)

    def price(self, usage: Usage) -> MicroDollars | None:
        return None
