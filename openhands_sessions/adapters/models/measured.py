"""Counts what models are asked, whatever their family."""

from asyncio import CancelledError
from collections.abc import Callable
from math import isfinite

from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.core.measurements import ModelUses
from openhands_sessions.ports.model import ChatModel, ChatModels, ModelReply, ModelRequest, ModelSpec, Retry


class MeasuredModel:
    """A ChatModel that counts its calls, by the name that it was asked for by."""

    def __init__(self, model: ChatModel, asked_for: str, uses: ModelUses) -> None:
        self.name = model.name
        self.vision = model.vision
        self.window = model.window
        self._model = model
        self._asked_for = asked_for
        self._uses = uses

    async def complete(
        self,
        request: ModelRequest,
        on_text: Callable[[str], None],
        on_retry: Callable[[Retry], None],
        on_thought: Callable[[str], None] = lambda text: None,
    ) -> ModelReply:
        try:
            reply = await self._model.complete(request, on_text, on_retry, on_thought)
        except ModelFailure:
            self._uses.unanswered(self._asked_for).calls["failed"] += 1
            raise
        except CancelledError:
            self._uses.unanswered(self._asked_for).calls["cancelled"] += 1
            raise
        self._count(reply)
        return reply

    def _count(self, reply: ModelReply) -> None:
        use, told = self._uses.answered(self._asked_for), reply.usage
        use.calls["answered"] += 1
        use.tokens["prompt"] += told.prompt_tokens
        use.tokens["completion"] += told.completion_tokens
        use.tokens["cache_read"] += told.cache_read_tokens
        use.tokens["cache_write"] += told.cache_write_tokens
        use.cost += told.cost if isfinite(told.cost) else 0.0
        use.seconds += told.latency


class MeasuredModels:
    """ChatModels whose models are counted."""

    def __init__(self, models: ChatModels, uses: ModelUses) -> None:
        self._models = models
        self._uses = uses

    async def open(self, spec: ModelSpec) -> ChatModel:
        return MeasuredModel(await self._models.open(spec), spec.name, self._uses)
