"""Calls of models are counted, whatever becomes of them."""

import asyncio

import pytest

from openhands_sessions.adapters.models.measured import MeasuredModels
from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.core.measurements import ModelUses
from openhands_sessions.ports.model import ChatModel, ModelReply, ModelRequest, ModelSpec, Usage
from tests.fakes.model import FakeModel, FakeModels, FakeReply

ASKED = ModelRequest(messages=[{"role": "user", "content": "hi"}])


async def complete(model: ChatModel) -> ModelReply:
    return await model.complete(ASKED, lambda text: None, lambda retry: None)


async def test_an_answer_counts_with_its_tokens_its_cost_and_its_time() -> None:
    usage = Usage(prompt_tokens=7, completion_tokens=3, cache_read_tokens=2, cost=0.25, latency=1.5)
    uses = ModelUses("fake")
    fake = FakeModel([FakeReply(text=text, usage=usage) for text in "ab"])
    model = await MeasuredModels(FakeModels(fake), uses).open(ModelSpec(name="fake"))
    assert [(await complete(model)).text for _ in range(2)] == ["a", "b"]
    use = uses.by_name["fake"]
    assert use.calls == {"answered": 2}
    assert use.tokens == {"prompt": 14, "completion": 6, "cache_read": 4, "cache_write": 0}
    assert (use.cost, use.seconds) == (0.5, 3.0)


async def test_a_failed_and_a_cancelled_call_count_and_are_raised() -> None:
    uses = ModelUses("fake")
    replies = [FakeReply(fail=ModelFailure("STATUS$ERROR", "no")), FakeReply(text="late", hold=asyncio.Event())]
    fake = FakeModel(replies)
    model = await MeasuredModels(FakeModels(fake), uses).open(ModelSpec(name="fake"))
    with pytest.raises(ModelFailure):
        await complete(model)
    asking = asyncio.create_task(complete(model))
    await fake.asked(2)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert uses.by_name["fake"].calls == {"failed": 1, "cancelled": 1}
