"""A model in the process: plays a list of replies, remembers what it was asked, can be held in mid-stream."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.money import MicroDollars
from openhands_sessions.ports.model import (
    ChatModel,
    FinishReason,
    LostCall,
    ModelReply,
    ModelRequest,
    ModelSpec,
    RequestedCall,
    Retry,
    Usage,
)

FAKE_COST: MicroDollars = 1_000
FAKE_USAGE = Usage(prompt_tokens=10, completion_tokens=5, cost=FAKE_COST, latency=0.01)


@dataclass(frozen=True, slots=True)
class FakeCall:
    """A tool call. Arguments given as text go out as they are."""

    name: str
    arguments: Mapping[str, Json] | str
    extra: Mapping[str, Json] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(dict(self.arguments))


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeReply:
    """One reply, its text streamed by words. `retries` are announced before it. With `hold` it waits behind its first
    word, or before a reply without text, until the event is set. `lost` are told before the retries. `fail` is raised
    in the end."""

    text: str = ""
    calls: Sequence[FakeCall] = ()
    retries: Sequence[Retry] = ()
    lost: Sequence[LostCall] = ()
    hold: asyncio.Event | None = None
    fail: ModelFailure | None = None
    usage: Usage = FAKE_USAGE
    finish: FinishReason | None = None
    thoughts: str = ""
    extra: Mapping[str, Json] = field(default_factory=dict)


class ScriptRanOut(AssertionError):
    """The model was asked more often than its script has replies."""


class FakeModel:
    """Plays its replies in order; `requests` is the record. Ids are counted, so that runs are alike."""

    def __init__(self, replies: Sequence[FakeReply], *, name: str = "fake") -> None:
        self.name = name
        self.vision = True
        self.window: int | None = None
        self.requests: list[ModelRequest] = []
        self.script = list(replies)
        self._numbers = count(1)
        self._news = asyncio.Event()

    def play(self, *replies: FakeReply) -> None:
        """Add to the script."""
        self.script.extend(replies)

    async def asked(self, times: int) -> ModelRequest:
        """Wait until it was asked so often; the request of that time."""
        while len(self.requests) < times:
            self._news.clear()
            await self._news.wait()
        return self.requests[times - 1]

    async def complete(
        self,
        request: ModelRequest,
        on_text: Callable[[str], None],
        on_retry: Callable[[Retry], None],
        on_thought: Callable[[str], None] = lambda text: None,
        on_lost: Callable[[LostCall], None] = lambda call: None,
    ) -> ModelReply:
        self.requests.append(request)
        self._news.set()
        if not self.script:
            raise ScriptRanOut(f"asked {len(self.requests)} times; the last message: {dict(request.messages[-1])}")
        reply = self.script.pop(0)
        for call in reply.lost:
            on_lost(call)
        for retry in reply.retries:
            on_retry(retry)
        if reply.thoughts:
            on_thought(reply.thoughts)
        await self._stream(reply, on_text)
        if reply.fail is not None:
            raise reply.fail
        calls = [
            RequestedCall(id=f"call-{next(self._numbers)}", name=call.name, arguments=call.text, extra=call.extra)
            for call in reply.calls
        ]
        return ModelReply(
            id=f"reply-{next(self._numbers)}",
            text=reply.text,
            calls=calls,
            usage=reply.usage,
            model=self.name,
            finish=reply.finish,
            thoughts=reply.thoughts,
            extra=reply.extra,
        )

    def price(self, usage: Usage) -> MicroDollars | None:
        return 100 * usage.prompt_tokens

    async def _stream(self, reply: FakeReply, on_text: Callable[[str], None]) -> None:
        first, *rest = re.findall(r"\s*\S+\s*|\s+", reply.text) or [""]
        if first:
            on_text(first)
        if reply.hold is not None:
            await reply.hold.wait()
        for word in rest:
            await asyncio.sleep(0)
            on_text(word)


class FakeModels:
    """Opens the models that it holds, by name; `opened` is the record."""

    def __init__(self, *models: FakeModel) -> None:
        self.opened: list[ModelSpec] = []
        self._models = {model.name: model for model in models}

    async def open(self, spec: ModelSpec) -> FakeModel:
        self.opened.append(spec)
        if spec.name not in self._models:
            raise ModelFailure("STATUS$ERROR", f"There is no model {spec.name!r}.")
        return self._models[spec.name]


class OneModel:
    """Opens the same model whatever its name."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    async def open(self, spec: ModelSpec) -> ChatModel:
        return self._model
