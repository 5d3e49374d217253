"""Whether the operator's model answers: asked seldom, however many want to know."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from openhands_sessions.core.errors import BadInput, ModelFailure
from openhands_sessions.core.events.own import CallPurpose
from openhands_sessions.ports.model import ChatModels, ModelRequest, ModelSpec
from openhands_sessions.ports.operations import ModelHealth

log = structlog.get_logger(__name__)

KEPT = 60.0
"""Seconds for which an answer counts."""
KEPT_FAILURE = 15.0
LONGEST = 30.0
"""Seconds of one question."""
UNUSABLE, TOO_SLOW = "STATUS$ERROR", "STATUS$ERROR_LLM_SERVICE_UNAVAILABLE"
QUESTION = ModelRequest(messages=[{"role": "user", "content": "Answer with the word OK."}], purpose=CallPurpose.PROBE)


class ModelHealthCheck:
    """A ModelProbe. It owns the task that asks; `close` ends it."""

    def __init__(self, models: ChatModels, spec: ModelSpec | None, now: Callable[[], float] = time.monotonic) -> None:
        """`spec` is None where no model is configured."""
        self._models = models
        self._spec = spec
        self._now = now
        self._asking: asyncio.Task[ModelHealth] | None = None
        self._until = 0.0

    async def check(self) -> ModelHealth:
        if self._spec is None:
            return ModelHealth(model=None, at=datetime.now(UTC))
        if self._asking is None or (self._asking.done() and self._now() >= self._until):
            self._asking = asyncio.create_task(self._ask(self._spec), name="ask the model whether it answers")
        return await asyncio.shield(self._asking)  # others may wait for it too

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _ask(self, spec: ModelSpec) -> ModelHealth:
        begun, problem = self._now(), None
        try:
            async with asyncio.timeout(LONGEST):
                model = await self._models.open(spec)
                await model.complete(QUESTION, lambda text: None, lambda retry: None)
        except ModelFailure as failure:
            problem = failure.status  # its message may quote what the provider was sent
        except TimeoutError:
            problem = TOO_SLOW
        except BadInput:
            problem = UNUSABLE
        if problem is not None:
            log.warning("the model does not answer", model=spec.name, cause=problem)
        self._until = self._now() + (KEPT if problem is None else KEPT_FAILURE)
        return ModelHealth(model=spec.name, at=datetime.now(UTC), seconds=self._now() - begun, problem=problem)
