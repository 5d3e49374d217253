"""What providers send in place of a chunk ends the reply, with their words; read by the real litellm over loopback."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from openhands_sessions.adapters.models.litellm import LiteLlmModel, LiteLlmModels, RetryPolicy
from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.ports.model import ModelReply, ModelRequest, ModelSpec, Retry

HELLO = ModelRequest(messages=[{"role": "user", "content": "hello"}])
DONE = "data: [DONE]"


def chunk(finish: str | None = None, **delta: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    frame = {"id": "r1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(frame)}"


WHOLE = (chunk(content="All of it."), chunk("stop"), DONE)


class Provider:
    """Answers each request with the next list of lines; the last one again and again."""

    def __init__(self, answers: Sequence[Sequence[str]], kind: str) -> None:
        self.asked: list[Any] = []
        self._answers = list(answers)
        self._kind = kind

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        response = web.StreamResponse(headers={"Content-Type": self._kind})
        await response.prepare(request)
        lines = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        for line in lines:
            await response.write(f"{line}\n\n".encode())
        return response


@asynccontextmanager
async def provider(
    *answers: Sequence[str], kind: str = "text/event-stream", retries: int = 1
) -> AsyncIterator[tuple[Provider, LiteLlmModel]]:
    serving = Provider(answers, kind)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", serving.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with LiteLlmModels(RetryPolicy(first=0.001, longest=0.001)) as models:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
            yield serving, await models.open(ModelSpec(name="openai/m", base_url=url, retries=retries, timeout=30))
    finally:
        await runner.cleanup()


async def asked(model: LiteLlmModel, told: list[str] | None = None, retries: list[Retry] | None = None) -> ModelReply:
    return await model.complete(
        HELLO, ([] if told is None else told).append, ([] if retries is None else retries).append
    )


HALF = chunk(content="half a")
PROBLEMS = {
    "an error object": ((HALF, 'data: {"object":"error","message":"CUDA out of memory","code":500}', DONE), "CUDA out"),
    "a line of text": ((HALF, "data: Internal Server Error", DONE), "Internal Server Error"),
    "an error event": (('event: error\ndata: {"message":"upstream is gone"}', DONE), "upstream is gone"),
    "a detail": ((HALF, 'data: {"detail":"worker died"}', DONE), "worker died"),
    "an error text": ((HALF, 'data: {"error":"overloaded, come back"}', DONE), "overloaded, come back"),
    "an error in a list": ((HALF, 'data: [{"error":{"code":503,"message":"no room"}}]'), "no room"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
async def test_what_is_no_chunk_cuts_the_reply_and_it_is_asked_for_again(problem: str) -> None:
    lines, words = PROBLEMS[problem]
    retries: list[Retry] = []
    async with provider(lines, WHOLE) as (_, model):
        reply = await asked(model, retries=retries)
    assert reply.text == "All of it."
    assert words in retries[0].problem


@pytest.mark.parametrize("problem", PROBLEMS)
async def test_a_provider_that_goes_on_so_is_quoted(problem: str) -> None:
    lines, words = PROBLEMS[problem]
    async with provider(lines) as (serving, model):
        with pytest.raises(ModelFailure, match=words):
            await asked(model)
    assert len(serving.asked) == 2


@pytest.mark.parametrize(
    ("frame", "status"),
    [
        ('{"error":{"message":"quota exceeded for this key","code":"insufficient_quota"}}', "OUT_OF_CREDITS"),
        ('{"error":{"message":"pay first","code":402}}', "OUT_OF_CREDITS"),
        ('{"error":{"message":"bad key","type":"authentication_error"}}', "AUTHENTICATION"),
    ],
)
@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
async def test_a_refusal_that_is_sent_with_status_200_has_its_class_and_is_not_repeated(
    frame: str, status: str, kind: str
) -> None:
    lines = [f"data: {frame}"] if kind == "text/event-stream" else [frame]
    async with provider(lines, kind=kind) as (serving, model):
        with pytest.raises(ModelFailure) as failed:
            await asked(model)
    assert status in failed.value.status
    assert len(serving.asked) == 1


async def test_fields_that_litellm_does_not_know_are_kept_whatever_stands_beside_them() -> None:
    lines = (
        chunk(role="assistant", reasoning_content="I "),
        chunk(reasoning_content="see.", vendor_state="ab"),
        chunk(vendor_state="cd", details=[{"type": "t", "index": 0, "text": "x"}]),
        chunk("stop", content="Yes."),
        DONE,
    )
    async with provider(lines) as (_, model):
        reply = await asked(model)
    assert (reply.text, reply.thoughts) == ("Yes.", "I see.")
    assert reply.extra["vendor_state"] == "abcd"
    assert reply.extra["details"] == [{"type": "t", "index": 0, "text": "x"}]


async def test_an_emoji_that_comes_in_two_chunks_is_one() -> None:
    told: list[str] = []
    async with provider((chunk(content="half \ud83d"), chunk(content="\ude00 end"), chunk("stop"), DONE)) as (_, model):
        reply = await asked(model, told)
    assert reply.text == "".join(told) == "half \U0001f600 end"


async def test_a_text_that_speaks_of_done_is_no_end() -> None:
    async with provider((chunk(content="It sends [DONE] "), chunk("stop", content="last."), DONE)) as (_, model):
        assert (await asked(model)).text == "It sends [DONE] last."


async def test_usage_of_a_reply_of_thoughts_only_is_counted() -> None:
    counts = {"prompt_tokens": 150_000, "completion_tokens": 7, "total_tokens": 150_007}
    usage = json.dumps({"id": "r1", "object": "chat.completion.chunk", "model": "m", "choices": [], "usage": counts})
    lines = (chunk(reasoning_content="hm"), chunk("stop"), f"data: {usage}", DONE)
    async with provider(lines) as (_, model):
        reply = await asked(model)
    assert (reply.text, reply.usage.prompt_tokens, reply.usage.completion_tokens) == ("", 150_000, 7)


@pytest.mark.parametrize("indent", [None, 2])
async def test_an_endpoint_that_answers_a_stream_request_with_plain_json_is_understood(indent: int | None) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    message = {"role": "assistant", "content": "All of it.", "tool_calls": [call]}
    whole = {
        "id": "r1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }
    async with provider((json.dumps(whole, indent=indent),), kind="application/json") as (serving, model):
        reply = await asked(model)
    assert (reply.text, reply.finish, reply.usage.prompt_tokens) == ("All of it.", "tool_calls", 3)
    [asked_for] = reply.calls
    assert (asked_for.id, asked_for.name, asked_for.arguments) == ("c1", "look", '{"at": 1}')
    assert len(serving.asked) == 1
