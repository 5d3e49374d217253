"""Models of many providers, through litellm."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_any, stop_before_delay

from openhands_sessions.adapters.models.failures import (
    MISCONFIGURED,
    NO_KEY,
    RATE_LIMITED,
    TOO_SLOW,
    ReplyCut,
    classify,
    failure,
    model_failure,
    reason,
    retry_after,
)
from openhands_sessions.adapters.models.litellm_library import LiteLlmLibrary
from openhands_sessions.adapters.models.openhands_provider import routed
from openhands_sessions.adapters.models.preloading import Preloading
from openhands_sessions.adapters.models.stream_accumulator import StreamAccumulator, counted
from openhands_sessions.adapters.models.stream_frames import StreamFrames
from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.core.money import MicroDollars
from openhands_sessions.core.settings import nearest
from openhands_sessions.ports.model import LostCall, ModelReply, ModelRequest, ModelSpec, Retry, Usage

_NO_KEY = "no-key"
"""Sent where an own address is given without a key: a client insists on one, and the keys in the server's
environment are not for that address."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How long to wait, in seconds: `first` before the second try, doubled for each further one up to `longest`, by
    up to half less at random; `first_limited` and `longest_limited` where the provider limits the rate, which it mostly
    counts by the minute. A provider's own wish is followed, with up to a tenth more at random, but one for more than
    `longest_asked` ends the tries. A try is given up after `silence` without a byte."""

    first: float = 1.0
    longest: float = 30.0
    first_limited: float = 10.0
    longest_limited: float = 60.0
    longest_asked: float = 120.0
    silence: float = 300.0

    def wait(self, attempt: int, asked: float | None, chance: float, *, limited: bool = False) -> float:
        """Before the try after `attempt` (from 1); `chance` is from 0 to 1. `limited`: because of the rate."""
        if asked is not None:
            return asked * (1 + chance / 10)
        first, longest = (self.first_limited, self.longest_limited) if limited else (self.first, self.longest)
        return min(longest, first * 2.0 ** (attempt - 1)) * (1 - chance / 2)


class LiteLlmModels:
    """Every provider that litellm knows. One per process and event loop: closing it closes litellm's connections."""

    def __init__(
        self,
        policy: RetryPolicy | None = None,
        *,
        keys: Mapping[str, str] = MappingProxyType({}),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        """`keys` of providers, by the names of the variables that litellm knows; they come before the environment's."""
        self._keys = keys
        self._timing = _Timing(policy or RetryPolicy(), sleep, random or Random())
        self._library: LiteLlmLibrary | None = None
        self._loading = asyncio.Lock()
        self._preloading = Preloading()

    async def preload(self) -> None:
        """Load the library before a conversation needs it, giving way to the event loop."""
        loop = asyncio.get_running_loop()
        await self._load(lambda: self._preloading.give_way(loop))

    async def open(self, spec: ModelSpec) -> "LiteLlmModel":
        spec = routed(spec)
        self._preloading.hurry()
        library = await self._load()
        try:
            library.check(spec.name, spec.base_url)
        except library.errors:
            raise model_failure(MISCONFIGURED, _no_provider(spec.name, library)) from None
        if spec.api_key is None and spec.base_url is None and (keys := library.missing_keys(spec.name)):
            hint = f"set llm.api_key (OHS_LLM__API_KEY), or give the server the variable {' or '.join(keys)}"
            raise model_failure(NO_KEY, hint)
        return LiteLlmModel(spec, library, self._timing)

    async def close(self) -> None:
        """Close litellm's connections; the models cannot be used afterwards."""
        self._preloading.give_up()
        if self._library is not None:
            await self._library.close()

    async def __aenter__(self) -> "LiteLlmModels":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _load(self, before_each: Callable[[], None] = lambda: None) -> LiteLlmLibrary:
        async with self._loading:
            if self._library is None:
                self._library = await asyncio.to_thread(LiteLlmLibrary.load, before_each, self._keys)
            return self._library


def _no_provider(name: str, library: LiteLlmLibrary) -> str:
    provider, slash, _ = name.partition("/")
    if slash:
        return f"{provider!r} is no provider that litellm knows{nearest(provider, library.providers())}"
    return f"{name!r} names no provider; write it as provider/model, e.g. openai/{name}"


@dataclass(frozen=True, slots=True)
class _Timing:
    """The retry policy, with how it waits."""

    policy: RetryPolicy
    sleep: Callable[[float], Awaitable[None]]
    random: Random


class LiteLlmModel:
    """One model, as one conversation uses it."""

    def __init__(self, spec: ModelSpec, library: LiteLlmLibrary, timing: _Timing) -> None:
        self.name = spec.name
        self.vision = library.vision(spec.name)
        self.window = library.window(spec.name)
        self._spec = spec
        self._library = library
        self._timing = timing
        self._secrets = [*library.held.secrets, *([spec.api_key] if spec.api_key else [])]

    async def complete(
        self,
        request: ModelRequest,
        on_text: Callable[[str], None],
        on_retry: Callable[[Retry], None],
        on_thought: Callable[[str], None] = lambda text: None,
        on_lost: Callable[[LostCall], None] = lambda call: None,
    ) -> ModelReply:
        def lost(call: LostCall) -> None:
            on_lost(replace(call, status=TOO_SLOW.status) if call.status is None and limit.expired() else call)

        heard = _Listeners(on_text, on_thought, lost)
        try:
            async with asyncio.timeout(self._spec.timeout) as limit:
                return await self._try_often(partial(self._ask, request, heard), on_retry)
        except TimeoutError:
            if not limit.expired():
                raise
            raise model_failure(TOO_SLOW, f"no answer within {self._spec.timeout:g} seconds") from None
        except (self._library.errors, ReplyCut) as error:
            # The cause is left out: its text may hold the key.
            raise failure(error, self._secrets) from None

    async def _try_often(
        self, ask: Callable[[], Awaitable[ModelReply]], on_retry: Callable[[Retry], None]
    ) -> ModelReply:
        """A wait that is longer than what is left, or than a provider is waited for, is not begun."""

        def announce(state: RetryCallState) -> None:
            on_retry(Retry(attempt=state.attempt_number, wait=state.upcoming_sleep, problem=self._problem(state)))

        tries = AsyncRetrying(
            sleep=self._timing.sleep,
            stop=stop_any(stop_after_attempt(self._spec.retries + 1), stop_before_delay(self._spec.timeout)),
            wait=self._wait,
            retry=retry_if_exception(self._is_passing),
            before_sleep=announce,
            reraise=True,
        )
        try:
            reply: ModelReply = await tries(ask)
        finally:
            tries.iter_state.reset()  # its last steps refer to itself, and to all that it was given
        return reply

    async def _ask(self, request: ModelRequest, heard: "_Listeners") -> ModelReply:
        """One try. However it ends without a reply, what it has used is told."""
        begun = time.monotonic()
        reply = _Streamed(heard)
        try:
            await self._gather(request, reply)
        except BaseException as error:
            status = None if isinstance(error, asyncio.CancelledError) else _status(error)
            heard.on_lost(LostCall(status=status, usage=self._used(reply, begun)))
            raise
        gathering = reply.gathering
        return ModelReply(
            id=gathering.id,
            text=gathering.text,
            calls=gathering.calls(),
            usage=self._used(reply, begun),
            model=gathering.model or self.name,
            finish=gathering.finish,
            thoughts=gathering.thoughts,
            extra=gathering.extra,
        )

    async def _gather(self, request: ModelRequest, reply: "_Streamed") -> None:
        gathering, frames = reply.gathering, reply.frames
        stream = await self._library.stream(self._arguments(request), frames.tapped)
        try:
            async for chunk in stream:
                reply.usage = getattr(chunk, "usage", None) or reply.usage
                if not frames.chunks:
                    gathering.add(chunk.model_dump())
        except Exception:
            if frames.problem is None:  # else litellm only tells of the end that the problem made
                raise
        finally:
            await stream.aclose()
        if frames.problem is not None:
            raise frames.problem
        gathering.check(finished=gathering.finished or frames.done if frames.chunks else _is_finished(stream))
        reply.whole = True

    def _used(self, reply: "_Streamed", begun: float) -> Usage:
        """What the provider has told. Where it told nothing of a whole reply, litellm's guess has to do."""
        told = self._library.usage(reply.gathering.usage) if reply.frames.chunks else reply.usage
        usage = told or (reply.usage if reply.whole else None)
        return counted(usage, cost=self._library.price(self.name, usage), latency=time.monotonic() - begun)

    def price(self, usage: Usage) -> MicroDollars | None:
        counts = {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        }
        return self._library.price(self.name, self._library.usage(counts))

    def _arguments(self, request: ModelRequest) -> dict[str, Any]:
        """Copies, because litellm may change its arguments."""
        spec = self._spec
        wanted = {
            "tools": [dict(tool) for tool in request.tools] or None,
            **self._credentials(),
            "base_url": spec.base_url,
            "temperature": spec.temperature,
            "max_tokens": spec.max_output_tokens,
        }
        return {
            "model": spec.name,
            "messages": [dict(message) for message in request.messages],
            "timeout": self._timing.policy.silence,
            **{key: value for key, value in wanted.items() if value is not None},
        }

    def _credentials(self) -> Mapping[str, str]:
        spec = self._spec
        if spec.api_key or spec.base_url:
            return {"api_key": spec.api_key or _NO_KEY}
        return self._library.arguments(spec.name)

    def _wait(self, state: RetryCallState) -> float:
        error = _error_of(state)
        limited, chance = classify(error) is RATE_LIMITED, self._timing.random.random()
        return self._timing.policy.wait(state.attempt_number, retry_after(error), chance, limited=limited)

    def _is_passing(self, error: BaseException) -> bool:
        if isinstance(error, ModelFailure) or not isinstance(error, Exception) or not classify(error).passing:
            return False
        return (retry_after(error) or 0.0) <= self._timing.policy.longest_asked

    def _problem(self, state: RetryCallState) -> str:
        error = _error_of(state)
        return model_failure(classify(error), reason(error, self._secrets)).message


@dataclass(frozen=True, slots=True)
class _Listeners:
    """Who is told of a reply's pieces, and of a try without a reply."""

    on_text: Callable[[str], None]
    on_thought: Callable[[str], None]
    on_lost: Callable[[LostCall], None]


class _Streamed:
    """A reply as far as it has come, with litellm's own count of its usage."""

    def __init__(self, heard: _Listeners) -> None:
        self.gathering = StreamAccumulator(heard.on_text, heard.on_thought)
        self.frames = StreamFrames(self.gathering)
        self.usage: Any = None
        self.whole = False


def _status(error: BaseException) -> str:
    return error.status if isinstance(error, ModelFailure) else classify(error).status


def _error_of(state: RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    return error if error is not None else ReplyCut()


def _is_finished(stream: Any) -> bool:
    """Whether the provider sent a finish reason; litellm invents one if it did not."""
    said = (getattr(stream, name, None) for name in ("received_finish_reason", "intermittent_finish_reason"))
    return any(said) or not hasattr(stream, "received_finish_reason")
