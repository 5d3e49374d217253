"""Whatever a provider streams: no reply is half taken, no call is lost, the history stays valid, nothing is stuck."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import orjson
import pytest
from aiohttp import web

from openhands_sessions.adapters.agents.model_agent import ModelAgents
from openhands_sessions.adapters.agents.shell import AgentChoice
from openhands_sessions.adapters.models.litellm import LiteLlmModels, RetryPolicy
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Action, Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import ModelReplyAction, ToolCallsAction
from tests.fakes.memory_store import open_memory
from tests.fakes.model import FakeModel
from tests.support.provider_streams import StreamingProvider, StreamPlan, random_plan
from tests.support.seeds import printed_seed
from tests.support.session_harness import LONG, SessionHarness, only, say, until
from tests.support.store_entries import TALK, row
from tests.support.valid_history import valid

STREAMS = 10
"""Streams of one conversation."""
ENDS = ("awaiting_user_input", "error")
TOLD = (
    "trouble number",
    "The model's reply was cut off",
    "content policy",
    "answered with nothing",
    "repeats the same",
)
"""What a turn that failed says."""


async def no_wait(seconds: float) -> None:
    await asyncio.sleep(0)


@asynccontextmanager
async def serving(provider: StreamingProvider) -> AsyncIterator[str]:
    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/v1/chat/completions", provider.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def play(plans: Sequence[StreamPlan]) -> tuple[StreamingProvider, list[Event]]:
    """A conversation in which the provider answers by these plans, to their end and one good answer after them."""
    provider = StreamingProvider(plans)
    async with (
        open_memory() as store,
        serving(provider) as url,
        LiteLlmModels(RetryPolicy(first=0, longest=0), sleep=no_wait) as models,
    ):
        await store.conversations.create(row(TALK))
        harness = SessionHarness(store=store, model=FakeModel([]))
        harness.agents = AgentChoice({"default": ModelAgents(models)})
        harness.settings = {"llm_model": "openai/m", "llm_base_url": url, "llm_retries": 2, "max_iterations": 500}
        async with harness.live() as session, asyncio.timeout(LONG):
            while True:
                over = not provider.left
                accepted = await say(session, "go on")
                await until(session, lambda one: getattr(one, "agent_state", "") in ENDS, accepted.id)
                if over:
                    return provider, await harness.events()


def joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def check(provider: StreamingProvider, events: list[Event]) -> None:
    whole = [plan for plan in provider.sent if not plan.cut]
    replies = [plan for plan in whole if not (plan.finish == "content_filter" and plan.empty)]
    # Each answer is stored as it was sent, once, and nothing of a reply that was cut.
    answers = [plan.text for plan in replies if not plan.calls and plan.text.strip()]
    spoken = [one.content for one in only(events, MessageAction) if one.source is Source.AGENT]
    assert Counter(spoken) == Counter(answers)
    # No call is lost, none is invented.
    found = Counter(
        (call.function_name, call.arguments)
        for one in events
        if isinstance(one, Action) and (call := one.tool_call_metadata) is not None
    )
    assert found == Counter(call for plan in replies for call in plan.calls)
    assert len(only(events, ToolCallsAction)) == sum(len(plan.calls) > 1 for plan in replies)
    # Thoughts are kept as such.
    kept = [one.thoughts for one in only(events, ModelReplyAction) if one.thoughts]
    assert Counter(kept) == Counter(plan.thoughts for plan in replies if plan.thoughts)
    # What is cut is told: by the model's own finish, or in the provider's words.
    beside = Counter(one.finish_reason for one in only(events, ModelReplyAction))
    assert beside["length"] == sum(plan.finish == "length" for plan in replies)
    for state in only(events, AgentStateChangedObservation):
        assert state.agent_state != "error" or any(words in state.reason for words in TOLD), state.reason
    # The next request is a valid history, with whole characters.
    for request in provider.requests:
        assert valid(request["messages"])
        ids = [call["id"] for message in request["messages"] for call in message.get("tool_calls", ())]
        assert all(ids)
        assert len(set(ids)) == len(ids)
        assert orjson.dumps(request)
    assert spoken[-1] == "All is said."


async def played(seed: int) -> None:
    random = Random(seed)
    provider, events = await play([random_plan(random, number) for number in range(STREAMS)])
    check(provider, events)


@pytest.mark.parametrize("number", range(5))
async def test_whatever_a_provider_streams_is_whole_or_told_as_cut(number: int) -> None:
    await played(printed_seed() + number)


@pytest.mark.long
async def test_a_thousand_streams_of_providers_leave_nothing_stuck() -> None:
    seed = printed_seed()
    for number in range(100):
        print(f"conversation {number}")
        await played(seed * 1_000 + number)
