"""What every model must do, whatever kind it is."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from openhands_sessions.adapters.models.litellm import LiteLlmModels, RetryPolicy
from openhands_sessions.adapters.models.scripted import ScriptedModels
from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.core.events.event import Json
from openhands_sessions.ports.model import ChatModel, ChatModels, ModelReply, ModelRequest, ModelSpec, Retry
from tests.fakes.model import FakeCall, FakeModel, FakeModels, FakeReply
from tests.support.model_replies import Answer, Call, Fault, FaultKind, Reply, Tries
from tests.support.model_scripts import Script
from tests.support.model_server import model_server

UNAVAILABLE = "STATUS$ERROR_LLM_SERVICE_UNAVAILABLE"
HELLO = ModelRequest(messages=[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}])
TOOL: dict[str, Json] = {
    "type": "function",
    "function": {"name": "execute_bash", "parameters": {"type": "object", "properties": {}}},
}


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A reply that a kind is to give: after `retries` failed tries; `held` streams a first piece and then nothing;
    `fails` ends it as unavailable."""

    text: str = ""
    calls: Sequence[tuple[str, dict[str, Any] | str]] = ()
    retries: int = 0
    held: bool = False
    fails: bool = False


class Kind(Protocol):
    """A kind of models in a test: makes one that gives the planned replies, one after another."""

    async def plan(self, *replies: Planned) -> ChatModel: ...

    def family(self) -> ChatModels: ...


class FakeKind:
    async def plan(self, *replies: Planned) -> ChatModel:
        model = FakeModel([self._reply(reply) for reply in replies])
        return await FakeModels(model).open(ModelSpec(name="fake"))

    def family(self) -> ChatModels:
        return FakeModels()

    def _reply(self, planned: Planned) -> FakeReply:
        return FakeReply(
            text=planned.text,
            calls=[FakeCall(name, arguments) for name, arguments in planned.calls],
            retries=[Retry(attempt=n + 1, wait=0.0, problem="busy") for n in range(planned.retries)],
            hold=asyncio.Event() if planned.held else None,
            fail=ModelFailure(UNAVAILABLE, "The model is not there.") if planned.fails else None,
        )


@dataclass
class ScriptedKind:
    folder: Path

    async def plan(self, *replies: Planned) -> ChatModel:
        script = {"name": "planned", "replies": [{"steps": [self._step(reply)]} for reply in replies]}
        (self.folder / "planned.yaml").write_text(yaml.safe_dump(script), encoding="utf-8")
        return await self.family().open(ModelSpec(name="scripted:planned"))

    def family(self) -> ChatModels:
        return ScriptedModels(self.folder)

    def _step(self, planned: Planned) -> dict[str, Any]:
        return {
            "say": planned.text,
            "calls": [{"call": name, "with": arguments} for name, arguments in planned.calls],
            "retries": planned.retries,
            "delay": 3600 if planned.held else 0,
            **({"fail": UNAVAILABLE} if planned.fails else {}),
        }


@dataclass
class LiteLlmKind:
    stack: AsyncExitStack
    models: LiteLlmModels = field(default_factory=lambda: LiteLlmModels(RetryPolicy(first=0.001)))

    async def plan(self, *replies: Planned) -> ChatModel:
        answers = [self._answer(reply) for reply in replies]
        server = await self.stack.enter_async_context(model_server(_by_turn(answers)))
        return await self.models.open(ModelSpec(name="openai/test-model", base_url=server.url, api_key="sk-test-key"))

    def family(self) -> ChatModels:
        return self.models

    def _answer(self, planned: Planned) -> Answer:
        busy = Fault(kind=FaultKind.UNAVAILABLE)
        if planned.fails:
            return busy
        reply = Reply(
            text=planned.text,
            calls=[Call(name=name, arguments=arguments) for name, arguments in planned.calls],
            gate=asyncio.Event() if planned.held else None,
            gate_after=2,
        )
        return Tries([*[busy] * planned.retries, reply])


def _by_turn(answers: Sequence[Answer]) -> Script:
    return lambda body: answers[sum(message["role"] == "user" for message in body["messages"]) - 1]


@pytest.fixture(params=["fake", "scripted", "litellm"])
async def kind(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kind]:
    async with AsyncExitStack() as stack:
        match request.param:
            case "fake":
                yield FakeKind()
            case "scripted":
                yield ScriptedKind(tmp_path)
            case _:
                kind = LiteLlmKind(stack)
                await stack.enter_async_context(kind.models)
                yield kind


@dataclass
class Heard:
    """What a call of a model brought while it ran."""

    pieces: list[str] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    first: asyncio.Event = field(default_factory=asyncio.Event)

    def on_text(self, piece: str) -> None:
        self.pieces.append(piece)
        self.order.append("text")
        self.first.set()

    def on_retry(self, retry: Retry) -> None:
        self.retries.append(retry)
        self.order.append("retry")

    async def ask(self, model: ChatModel, request: ModelRequest = HELLO) -> ModelReply:
        async with asyncio.timeout(10):
            return await model.complete(request, self.on_text, self.on_retry)


def later(turns: int) -> ModelRequest:
    """A request after some turns of the user."""
    said = [{"role": "user", "content": "go on"}, {"role": "assistant", "content": "yes"}] * turns
    return ModelRequest(messages=[*said, {"role": "user", "content": "go on"}])


async def test_text_arrives_in_pieces_that_make_up_the_reply(kind: Kind) -> None:
    text = "The quick brown fox jumps over the lazy dog.\nÄ second line, with  spaces\n"
    model = await kind.plan(Planned(text=text))
    heard = Heard()
    reply = await heard.ask(model)
    assert len(heard.pieces) > 1
    assert "".join(heard.pieces) == reply.text == text
    assert not reply.calls


async def test_calls_arrive_whole_with_ids_of_their_own(kind: Kind) -> None:
    arguments = {"command": "echo 'ä \"quoted\" text that is longer than one piece'"}
    model = await kind.plan(Planned(calls=[("execute_bash", arguments), ("execute_bash", arguments), ("think", {})]))
    reply = await Heard().ask(model, ModelRequest(messages=HELLO.messages, tools=[TOOL]))
    assert [call.name for call in reply.calls] == ["execute_bash", "execute_bash", "think"]
    assert [json.loads(call.arguments) for call in reply.calls] == [arguments, arguments, {}]
    assert len({call.id for call in reply.calls} - {""}) == 3


async def test_a_thought_stands_beside_a_call(kind: Kind) -> None:
    model = await kind.plan(Planned(text="Let me look.", calls=[("execute_bash", {"command": "ls"})]))
    reply = await Heard().ask(model)
    assert reply.text == "Let me look."
    assert [call.name for call in reply.calls] == ["execute_bash"]


async def test_arguments_that_are_no_json_are_passed_on_as_they_are(kind: Kind) -> None:
    model = await kind.plan(Planned(calls=[("execute_bash", '{"command": "ls')]))
    reply = await Heard().ask(model)
    assert reply.calls[0].arguments == '{"command": "ls'


async def test_usage_is_counted_and_replies_have_names(kind: Kind) -> None:
    model = await kind.plan(Planned(text="one"), Planned(text="two"))
    first, second = await Heard().ask(model), await Heard().ask(model, later(1))
    assert first.text == "one"
    assert second.text == "two"
    assert first.usage.prompt_tokens > 0
    assert first.usage.completion_tokens > 0
    assert first.usage.cost is None or first.usage.cost >= 0
    assert first.usage.latency >= 0.0
    assert first.id
    assert first.id != second.id
    assert first.model


async def test_a_retry_is_announced_before_the_next_try(kind: Kind) -> None:
    model = await kind.plan(Planned(text="at last", retries=2))
    heard = Heard()
    reply = await heard.ask(model)
    assert reply.text == "at last"
    assert [retry.attempt for retry in heard.retries] == [1, 2]
    assert heard.order[:2] == ["retry", "retry"]
    assert all(retry.wait >= 0 and retry.problem for retry in heard.retries)


async def test_a_failure_names_the_status_of_the_wire(kind: Kind) -> None:
    model = await kind.plan(Planned(fails=True))
    with pytest.raises(ModelFailure) as failed:
        await Heard().ask(model)
    assert failed.value.status == UNAVAILABLE
    assert failed.value.message


async def test_a_cancelled_call_ends_at_once_and_says_nothing_more(kind: Kind) -> None:
    model = await kind.plan(Planned(text="the first of many words", held=True))
    heard = Heard()
    call = asyncio.create_task(heard.ask(model))
    async with asyncio.timeout(10):
        await heard.first.wait()
    call.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await call
    heard_until_then = list(heard.pieces)
    await Heard().ask(await kind.plan(Planned(text="something else")))
    assert heard.pieces == heard_until_then


async def test_two_conversations_do_not_disturb_each_other(kind: Kind) -> None:
    text = "a longer text that is streamed in many pieces, one after another"
    model = await kind.plan(Planned(text=text), Planned(text=text.upper()))
    one, other = Heard(), Heard()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(one.ask(model))
        second = group.create_task(other.ask(model, later(1)))
    assert "".join(one.pieces) == first.result().text == text
    assert "".join(other.pieces) == second.result().text == text.upper()


async def test_the_request_is_left_as_it_was(kind: Kind) -> None:
    request = ModelRequest(messages=[dict(message) for message in HELLO.messages], tools=[dict(TOOL)])
    before = json.dumps([list(request.messages), list(request.tools)])
    await Heard().ask(await kind.plan(Planned(text="yes")), request)
    assert json.dumps([list(request.messages), list(request.tools)]) == before


async def test_an_unknown_model_is_refused_when_it_is_opened(kind: Kind) -> None:
    with pytest.raises(ModelFailure) as failed:
        await kind.family().open(ModelSpec(name="nobody-knows-this"))
    assert failed.value.status == "STATUS$ERROR"
    assert "nobody-knows-this" in failed.value.message
