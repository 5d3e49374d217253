"""Whether the model answers is asked once, however many want to know, and again after a time."""

import asyncio

import pytest

from openhands_sessions.core.errors import BadInput, ModelFailure
from openhands_sessions.ports.model import ChatModel, ModelSpec
from openhands_sessions.service.model_health import KEPT, KEPT_FAILURE, ModelHealthCheck
from tests.fakes.model import FakeModel, FakeModels, FakeReply

SPEC = ModelSpec(name="fake", api_key="sk-secret")
REFUSED = ModelFailure("STATUS$ERROR_LLM_AUTHENTICATION", "the provider did not accept sk-secret")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Refusing:
    """ChatModels that are not configured well."""

    async def open(self, spec: ModelSpec) -> ChatModel:
        raise BadInput("llm.model", "names a kind that cannot be loaded")


async def test_many_who_ask_at_once_are_one_question(gate: asyncio.Event) -> None:
    fake = FakeModel([FakeReply(text="OK", hold=gate)])
    check = ModelHealthCheck(FakeModels(fake), SPEC, Clock())
    asking = [asyncio.create_task(check.check()) for _ in range(20)]
    await fake.asked(1)
    asking[0].cancel()  # who leaves takes the answer from nobody
    gate.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert {each.problem for each in found[1:] if not isinstance(each, BaseException)} == {None}
    assert len(fake.requests) == 1
    await check.close()


async def test_an_answer_counts_for_a_minute_and_a_failure_for_a_shorter_time() -> None:
    clock = Clock()
    fake = FakeModel([FakeReply(text="OK"), FakeReply(fail=REFUSED), FakeReply(text="OK")])
    check = ModelHealthCheck(FakeModels(fake), SPEC, clock)
    told = []
    for moment in (0, KEPT - 1, KEPT, KEPT + KEPT_FAILURE - 1, KEPT + KEPT_FAILURE):
        clock.now = moment
        told.append((await check.check()).problem)
    assert told == [None, None, REFUSED.status, REFUSED.status, None]
    assert len(fake.requests) == 3
    await check.close()


async def test_a_failure_is_told_by_its_status_and_without_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    check = ModelHealthCheck(FakeModels(FakeModel([FakeReply(fail=REFUSED)])), SPEC)
    health = await check.check()
    assert (health.model, health.problem) == ("fake", "STATUS$ERROR_LLM_AUTHENTICATION")
    assert "sk-secret" not in f"{health}{caplog.text}"
    await check.close()


async def test_a_model_that_cannot_be_opened_is_told_as_well() -> None:
    check = ModelHealthCheck(Refusing(), SPEC)
    assert (await check.check()).problem == "STATUS$ERROR"
    await check.close()


async def test_without_a_model_nothing_is_asked() -> None:
    check = ModelHealthCheck(Refusing(), None)
    health = await check.check()
    assert (health.model, health.problem) == (None, None)
    await check.close()


async def test_a_close_ends_the_question(gate: asyncio.Event) -> None:
    fake = FakeModel([FakeReply(text="OK", hold=gate)])
    check = ModelHealthCheck(FakeModels(fake), SPEC)
    asking = asyncio.create_task(check.check())
    await fake.asked(1)
    await check.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
