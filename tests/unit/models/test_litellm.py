"""Models through litellm, against a real server on loopback."""

import asyncio
import gc
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import pytest

from openhands_sessions.adapters.models.litellm import LiteLlmModel, LiteLlmModels, RetryPolicy
from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.core.events.event import Json
from openhands_sessions.ports.model import ModelReply, ModelRequest, ModelSpec, Retry
from tests.support.model_replies import Call, Fault, FaultKind, Reply, Tokens, Tries
from tests.support.model_server import ModelServer, Scripted, model_server

KEY = "own-secret-key-123"
UNAVAILABLE = "STATUS$ERROR_LLM_SERVICE_UNAVAILABLE"
HELLO = ModelRequest(messages=[{"role": "user", "content": "hello"}])


@dataclass
class Desk:
    """A model, its server, and what a call brought."""

    server: ModelServer
    models: LiteLlmModels
    naps: list[float]
    pieces: list[str] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)
    first: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(
        self,
        *,
        name: str = "openai/test-model",
        api_key: str | None = KEY,
        timeout: float = 20.0,
        retries: int = 3,
        temperature: float | None = None,
        max_output_tokens: int | None = None,
    ) -> LiteLlmModel:
        return await self.models.open(
            ModelSpec(
                name=name,
                base_url=self.server.url,
                api_key=api_key,
                timeout=timeout,
                retries=retries,
                temperature=temperature,
                max_output_tokens=max_output_tokens,
            )
        )

    async def ask(self, model: LiteLlmModel | None = None, request: ModelRequest = HELLO) -> ModelReply:
        async with asyncio.timeout(30):
            return await (model or await self.open()).complete(request, self._on_text, self.retries.append)

    async def fail(self, model: LiteLlmModel | None = None) -> ModelFailure:
        with pytest.raises(ModelFailure) as failed:
            await self.ask(model)
        return failed.value

    def _on_text(self, piece: str) -> None:
        self.pieces.append(piece)
        self.first.set()


@asynccontextmanager
async def desk(script: Scripted, patience: RetryPolicy | None = None) -> AsyncIterator[Desk]:
    """A desk whose sleeps are noted down and take no time."""
    naps: list[float] = []

    async def sleep(seconds: float) -> None:
        naps.append(seconds)
        await asyncio.sleep(0)

    async with model_server(script) as server, LiteLlmModels(patience, sleep=sleep, random=Random(1)) as models:
        yield Desk(server, models, naps)


def always(kind: FaultKind) -> Scripted:
    return lambda body: Fault(kind=kind)


def once(kind: FaultKind, *, retry_after: float | None = None) -> Scripted:
    return lambda body: Tries([Fault(kind=kind, retry_after=retry_after), Reply(text="at last")])


def test_litellm_is_not_imported_with_the_adapter() -> None:
    code = (
        "import sys, openhands_sessions.adapters.models.litellm;"
        "sys.exit(any(name.partition('.')[0] in ('litellm', 'openai', 'aiohttp', 'httpx') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("kind", "status", "tries"),
    [
        (FaultKind.UNAUTHORIZED, "STATUS$ERROR_LLM_AUTHENTICATION", 1),
        (FaultKind.FORBIDDEN, "STATUS$ERROR_LLM_AUTHENTICATION", 1),
        (FaultKind.NOT_FOUND, "STATUS$ERROR", 1),
        (FaultKind.BAD_REQUEST, "STATUS$ERROR", 1),
        (FaultKind.NO_CREDITS, "STATUS$ERROR_LLM_OUT_OF_CREDITS", 1),
        (FaultKind.NO_QUOTA, "STATUS$ERROR_LLM_OUT_OF_CREDITS", 1),
        (FaultKind.CONTENT_POLICY, "STATUS$ERROR_LLM_CONTENT_POLICY_VIOLATION", 1),
        (FaultKind.RATE_LIMIT, "CHAT_INTERFACE$AGENT_RATE_LIMITED_STOPPED_MESSAGE", 4),
        (FaultKind.SERVER_ERROR, "STATUS$ERROR_LLM_INTERNAL_SERVER_ERROR", 4),
        (FaultKind.UNAVAILABLE, UNAVAILABLE, 4),
        (FaultKind.CUT, UNAVAILABLE, 4),
        (FaultKind.ENDS_EARLY, UNAVAILABLE, 4),
        (FaultKind.STREAM_ERROR, UNAVAILABLE, 4),
        (FaultKind.GARBAGE, UNAVAILABLE, 4),
    ],
)
@pytest.mark.slow
async def test_each_fault_has_its_status_and_only_passing_ones_are_tried_again(
    kind: FaultKind, status: str, tries: int
) -> None:
    async with desk(always(kind)) as at:
        failed = await at.fail(await at.open(timeout=100.0))
        assert failed.status == status
        assert len(at.server.requests) == tries
        assert len(at.retries) == tries - 1
        assert len(failed.message) <= 500
        for hidden in (KEY, "litellm", "Traceback", "/site-packages/"):
            assert hidden not in failed.message


async def test_a_refused_key_is_named_as_the_reason_and_never_shown() -> None:
    async with desk(lambda body: Fault(kind=FaultKind.UNAUTHORIZED)) as at:
        failed = await at.fail()
        assert failed.message.startswith("The model's provider did not accept the API key: Incorrect API key provided")
        assert failed.__cause__ is None
        assert at.server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("kind", [FaultKind.CUT, FaultKind.ENDS_EARLY, FaultKind.STREAM_ERROR])
async def test_a_cut_reply_is_asked_for_again_from_its_beginning(kind: FaultKind) -> None:
    async with desk(once(kind)) as at:
        reply = await at.ask()
        assert reply.text == "at last"
        assert "".join(at.pieces) == "This is only the at last"
        assert [retry.attempt for retry in at.retries] == [1]
        assert at.retries[0].problem.startswith("The model's reply was cut off: ")


async def test_waits_grow_and_vary_within_their_bounds() -> None:
    async with desk(always(FaultKind.UNAVAILABLE), RetryPolicy(first=1.0, longest=5.0)) as at:
        await at.fail(await at.open(retries=5))
        assert at.naps == [retry.wait for retry in at.retries]
        for nap, longest in zip(at.naps, [1, 2, 4, 5, 5], strict=True):
            assert longest / 2 <= nap <= longest


async def test_a_limited_rate_is_waited_for_longer_than_a_server_that_is_away() -> None:
    async with desk(always(FaultKind.RATE_LIMIT)) as at:
        await at.fail(await at.open(retries=5, timeout=600))
        for nap, longest in zip(at.naps, [10, 20, 40, 60, 60], strict=True):
            assert longest / 2 <= nap <= longest


async def test_a_request_that_is_put_otherwise_has_all_its_tries() -> None:
    answers = [FaultKind.UNAVAILABLE, FaultKind.BAD_REQUEST, FaultKind.UNAVAILABLE]
    faults: list[Fault | Reply] = [*[Fault(kind=kind) for kind in answers], Reply(text="at last")]
    async with desk(lambda body: faults.pop(0)) as at:
        model = await at.open(retries=1)
        await at.fail(model)
        assert (await at.ask(model)).text == "at last"
        assert [retry.attempt for retry in at.retries] == [1, 1]


async def test_the_wait_that_a_provider_asks_for_is_kept_and_varies_above_it() -> None:
    async with desk(once(FaultKind.RATE_LIMIT, retry_after=7)) as at:
        await at.ask()
        assert [7 < nap <= 7.7 for nap in at.naps] == [True]
        assert (
            at.retries[0].problem
            == "The model's provider limits the rate of requests: Rate limit reached for requests."
        )


async def test_a_wait_that_is_too_long_is_not_begun_and_its_end_is_told() -> None:
    async with desk(once(FaultKind.RATE_LIMIT, retry_after=3600)) as at:
        failed = await at.fail()
        assert at.naps == []
        assert failed.status == "CHAT_INTERFACE$AGENT_RATE_LIMITED_STOPPED_MESSAGE"
        assert re.search(r"requests again in 3600 s, at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", failed.message)


async def test_a_wait_behind_the_time_limit_is_not_begun() -> None:
    async with desk(once(FaultKind.RATE_LIMIT, retry_after=60)) as at:
        hurried = await at.open(timeout=20)
        failed = await at.fail(hurried)
        assert at.naps == []
        assert "limits the rate" in failed.message


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    async with desk(always(FaultKind.UNAVAILABLE)) as at:
        gone = await at.models.open(ModelSpec(name="openai/x", base_url="http://127.0.0.1:9/v1", retries=2))
        failed = await at.fail(gone)
        assert failed.status == UNAVAILABLE
        assert "Cannot connect to host 127.0.0.1:9 [" in failed.message
        assert len(at.retries) == 2


async def test_the_limit_in_time_is_over_all_tries() -> None:
    async with desk(always(FaultKind.SILENCE), RetryPolicy(first=0.01, longest=0.01, silence=0.05)) as at:
        model = await at.open(timeout=2.5, retries=1_000)
        failed = await at.fail(model)
        assert failed.status == UNAVAILABLE
        assert len(at.retries) >= 2
        async with asyncio.timeout(20):
            await at.server.requests[-1].ended.wait()


@pytest.mark.parametrize("kind", [FaultKind.SILENCE, FaultKind.ENDLESS])
async def test_a_cancel_closes_the_stream(kind: FaultKind) -> None:
    async with desk(always(kind)) as at:
        call = asyncio.create_task(at.ask())
        asked = await at.server.asked(1)
        if kind is FaultKind.ENDLESS:
            async with asyncio.timeout(10):
                await at.first.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(20):
            await asked.ended.wait()
        assert asked.closed_by_client


async def test_a_cancel_between_tries_is_heard() -> None:
    async with model_server(always(FaultKind.UNAVAILABLE)) as server, LiteLlmModels(RetryPolicy(first=3600)) as models:
        announced = asyncio.Event()
        model = await models.open(ModelSpec(name="openai/x", base_url=server.url))
        call = asyncio.create_task(model.complete(HELLO, lambda piece: None, lambda retry: announced.set()))
        async with asyncio.timeout(10):
            await announced.wait()
        call.cancel()
        async with asyncio.timeout(20):
            with pytest.raises(asyncio.CancelledError):
                await call
        assert len(server.requests) == 1


async def test_a_call_may_be_cancelled_at_any_moment() -> None:
    async with desk(lambda body: Reply(text="a text in several pieces", delay=0.001)) as at:
        model = await at.open()
        await at.ask(model)
        for moment in range(60):
            call = asyncio.create_task(at.ask(model))
            for _ in range(moment):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        gc.collect()
        assert (await at.ask(model)).text == "a text in several pieces"


async def test_a_request_carries_what_the_conversation_asks_for() -> None:
    tool: dict[str, Json] = {"type": "function", "function": {"name": "ls", "parameters": {"type": "object"}}}
    messages: list[dict[str, Json]] = [
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "ls", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "a", "name": "ls", "content": "nothing"},
    ]
    async with desk([Reply(text="yes")]) as at:
        model = await at.open(temperature=0.5, max_output_tokens=99)
        await at.ask(model, ModelRequest(messages=messages, tools=[tool]))
        body = at.server.requests[0].body
        assert body["model"] == "test-model"
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool"]
        assert body["messages"][1]["tool_calls"] == messages[1]["tool_calls"]
        assert [each["function"]["name"] for each in body["tools"]] == ["ls"]
        assert (body["temperature"], body["max_tokens"], body["stream"]) == (0.5, 99, True)
        assert body["stream_options"] == {"include_usage": True}


async def test_the_keys_of_the_server_are_not_sent_to_an_address_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-operator-1234567890")
    async with desk([Reply(text="yes")]) as at:
        await at.ask(await at.open(api_key=None))
        assert "operator" not in str(at.server.requests[0].headers)


async def test_each_conversation_has_its_own_key_and_address() -> None:
    async with desk(lambda body: Reply(text="one")) as at, model_server([Reply(text="two")]) as other:
        first = await at.open()
        second = await at.models.open(ModelSpec(name="openai/b", base_url=other.url, api_key="another-key"))
        replies = await asyncio.gather(at.ask(first), at.ask(second))
        assert [reply.text for reply in replies] == ["one", "two"]
        assert other.requests[0].headers["Authorization"] == "Bearer another-key"


async def test_usage_and_price_are_the_providers() -> None:
    usage = Tokens(prompt=1000, completion=100, cached=400)
    async with desk(lambda body: Reply(text="yes", usage=usage)) as at:
        priced = (await at.ask(await at.open(name="openai/gpt-4o"))).usage
        assert (priced.prompt_tokens, priced.completion_tokens, priced.cache_read_tokens) == (1000, 100, 400)
        assert priced.cost == 600 * 2.5 + 400 * 1.25 + 100 * 10
        assert priced.latency > 0
        assert (await at.ask()).usage.cost is None


async def test_a_provider_that_tells_no_usage_is_estimated() -> None:
    async with desk([Reply(text="a few words of text", usage=None)]) as at:
        usage = (await at.ask()).usage
        assert usage.prompt_tokens > 0
        assert usage.completion_tokens > 0


async def test_calls_without_ids_get_some() -> None:
    calls = [Call(name="ls", arguments={"n": 1}), Call(name="ls", arguments={"n": 2})]
    async with desk([Reply(calls=calls, without_ids=True)]) as at:
        reply = await at.ask()
        assert [call.arguments for call in reply.calls] == ['{"n": 1}', '{"n": 2}']
        assert len({call.id for call in reply.calls} - {"", "None"}) == 2


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gpt-zzz", "'gpt-zzz' names no provider; write it as provider/model, e.g. openai/gpt-zzz"),
        ("nobody/gpt", "'nobody' is no provider that litellm knows"),
        ("opena/gpt", "'opena' is no provider that litellm knows; did you mean 'openai'"),
    ],
)
async def test_a_name_without_a_provider_is_told_how_to_write_it(name: str, told: str) -> None:
    async with LiteLlmModels() as models:
        with pytest.raises(ModelFailure, match=told):
            await models.open(ModelSpec(name=name))


@pytest.mark.parametrize(
    ("name", "variable"), [("openai/gpt-4o", "OPENAI_API_KEY"), ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY")]
)
async def test_a_missing_key_is_told_when_the_model_is_opened(
    monkeypatch: pytest.MonkeyPatch, name: str, variable: str
) -> None:
    monkeypatch.delenv(variable, raising=False)
    async with LiteLlmModels() as models:
        with pytest.raises(ModelFailure, match=variable) as failed:
            await models.open(ModelSpec(name=name))
        assert failed.value.status == "STATUS$ERROR_LLM_AUTHENTICATION"
        monkeypatch.setenv(variable, "sk-of-the-operator")
        assert (await models.open(ModelSpec(name=name))).name == name


@pytest.mark.parametrize("name", ["bedrock/anthropic.claude-v2", "ollama/llama3", "hosted_vllm/x"])
async def test_providers_that_may_do_without_a_key_are_opened_without_one(name: str) -> None:
    async with LiteLlmModels() as models:
        assert (await models.open(ModelSpec(name=name))).name == name


async def test_closing_leaves_no_task_thread_or_connection_and_opening_again_works() -> None:
    threads = set(threading.enumerate())
    async with model_server(lambda body: Reply(text="yes")) as server:
        for _ in range(2):
            async with LiteLlmModels() as models:
                spec = ModelSpec(name="openai/test-model", base_url=server.url)
                many = await asyncio.gather(*(models.open(spec) for _ in range(3)))
                await asyncio.gather(*(model.complete(HELLO, lambda piece: None, lambda retry: None) for model in many))
            coros = [task.get_coro() for task in asyncio.all_tasks() - {asyncio.current_task()}]
            assert [coro for coro in coros if "litellm" in repr(coro)] == []
    gc.collect()
    if left := asyncio.all_tasks() - {asyncio.current_task()}:  # clients that no one had closed, closing themselves
        _, late = await asyncio.wait(left, timeout=5)
        assert not late
    beside = [thread.name for thread in set(threading.enumerate()) - threads]
    assert [name for name in beside if not name.startswith(("asyncio_", "AnyIO"))] == []


async def test_closing_what_was_never_used_is_harmless() -> None:
    await LiteLlmModels().close()
