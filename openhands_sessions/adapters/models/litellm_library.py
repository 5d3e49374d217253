"""litellm as this process has it: loaded when first needed, kept quiet, its connections closed at the end."""

import asyncio
import gc
import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from openhands_sessions.adapters.models.held_keys import HeldKeys
from openhands_sessions.core.money import MicroDollars, micro_dollars

_NAME = "litellm"
_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
    "EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER": "True",
}
"""The first two keep it from fetching tables over the network, the third from reading a `.env` file. The last sends
what speaks OpenAI's protocol the way of most other providers: OpenAI's own client walks through every message of the
history on the event loop, which then stands still for 0.15 ms per message."""
_LOADED_AT_THE_FIRST_CALL = (
    "litellm.litellm_core_utils.default_encoding",
    "litellm.proxy.openai_files_endpoints.common_utils",
)
"""What litellm would import when it is first called, stalling the event loop for a fifth of a second each."""
_WITHOUT_GATEWAY = {"_skip_mcp_handler": True}
"""Otherwise any request with tools imports litellm's MCP gateway, which fails where the `mcp` package is missing."""
_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
_PREPARATION = 0.5
"""Seconds that the preparation of a request is waited for when a call is cancelled."""
_GRACE = 1.0
"""Seconds that litellm's own tasks get to end in."""


class LiteLlmLibrary:
    """The loaded library. `errors` is the root of all that its calls raise."""

    def __init__(self, litellm: Any, errors: type[Exception], held: HeldKeys) -> None:
        self.errors = errors
        self.held = held
        self._litellm = litellm
        self._folder = str(Path(litellm.__file__).parent)

    @classmethod
    def load(
        cls, before_each: Callable[[], None] = lambda: None, keys: Mapping[str, str] = MappingProxyType({})
    ) -> "LiteLlmLibrary":
        """Import litellm: seconds of work and over 150 MB the first time, so call it in a thread. `before_each` is
        called in that thread before each module; what it raises ends the import. `keys` of providers count as if the
        environment had them."""
        if _NAME not in sys.modules:
            with _without_collections(), _interrupted(before_each):
                _import()
        litellm: Any = importlib.import_module(_NAME)
        litellm.suppress_debug_info = True
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        return cls(litellm, importlib.import_module("openai").OpenAIError, HeldKeys(litellm, keys))

    def check(self, name: str, base_url: str | None) -> None:
        """Raise one of `errors` where the name tells no provider."""
        self._litellm.get_llm_provider(model=name, api_base=base_url)

    def providers(self) -> Sequence[str]:
        """The names of all providers."""
        return [str(getattr(each, "value", each)) for each in self._litellm.provider_list]

    def missing_keys(self, name: str) -> Sequence[str]:
        """The environment variables of which one would have to hold the provider's key, and none does. Nothing for a
        provider that can do without, or that takes more than a key."""
        missing: list[str] = self._litellm.validate_environment(model=name)["missing_keys"]
        given = self.held.keys.keys() & missing or self.arguments(name)
        return [] if given or not all(key.endswith("_API_KEY") for key in missing) else missing

    def arguments(self, name: str) -> Mapping[str, str]:
        """What a call to the model's provider is given of the keys."""
        return self.held.arguments(self._litellm.get_llm_provider(model=name)[1])

    def vision(self, name: str) -> bool:
        """Whether the model is known to take images."""
        return bool(self._litellm.supports_vision(model=name))

    def window(self, name: str) -> int | None:
        """Tokens that the model reads at most by litellm's table, in which it may be without its provider."""
        for key in (name, name.partition("/")[2]):
            tokens = self._litellm.model_cost.get(key, {}).get("max_input_tokens")
            if isinstance(tokens, int) and tokens > 0:
                return tokens
        return None

    async def stream(self, arguments: Mapping[str, Any], tapped: Callable[[Any], Any]) -> Any:
        """Begin a streamed completion; litellm's own retries are off. `tapped` is given the lines of the answer and
        gives those that litellm reads. Being cancelled closes what was begun."""
        prepared = asyncio.Event()
        here = threading.get_ident()

        def note(details: object) -> None:
            if threading.get_ident() == here:
                prepared.set()

        begun = self._litellm.acompletion(
            **arguments,
            stream=True,
            stream_options={"include_usage": True},
            drop_params=True,
            num_retries=0,
            max_retries=0,
            logger_fn=note,
            **_WITHOUT_GATEWAY,
        )
        call: asyncio.Task[Any] = asyncio.create_task(begun)
        call.add_done_callback(lambda task: prepared.set())
        try:
            stream = await asyncio.shield(call)
        except asyncio.CancelledError:
            await _give_up(call, prepared)
            raise
        # There is no public way to the lines. Providers that are not read by lines have no such attribute.
        frames: Any = getattr(stream, "completion_stream", None)
        if hasattr(getattr(frames, "streaming_response", None), "__aiter__"):
            frames.streaming_response = frames.response_iterator = tapped(frames.streaming_response)
        return stream

    def usage(self, counts: Mapping[str, Any] | None) -> Any:
        """A provider's usage as litellm has it; None for none, or one that it does not understand."""
        try:
            return self._litellm.Usage(**counts) if counts else None
        except (TypeError, ValueError):
            return None

    def price(self, name: str, usage: Any) -> MicroDollars | None:
        """What a usage costs by litellm's table, None where it has no price."""
        if usage is None:
            return None
        unpriced = (self._litellm.exceptions.ModelNotMappedError, self.errors, ValueError, LookupError, TypeError)
        try:
            reply = self._litellm.ModelResponse(model=name, usage=usage)
            return micro_dollars(self._litellm.completion_cost(completion_response=reply, model=name))
        except unpriced:
            return None

    async def close(self) -> None:
        """Close the HTTP clients that litellm keeps for this event loop, and see its own tasks off."""
        cache = self._litellm.in_memory_llm_clients_cache
        ours = f"-{id(asyncio.get_running_loop())}"
        for key in [key for key in cache.cache_dict if key.endswith(ours)]:
            client = cache.cache_dict.pop(key)
            cache.ttl_dict.pop(key, None)
            await client.close()
        self.held.release()
        await self._end_tasks()

    async def _end_tasks(self) -> None:
        """litellm starts tasks for its book-keeping and keeps no hold of them."""
        strays = {task for task in asyncio.all_tasks() if self._began(task)}
        if not strays:
            return
        _, late = await asyncio.wait(strays, timeout=_GRACE)
        for task in late:
            task.cancel()
        await asyncio.gather(*strays, return_exceptions=True)

    def _began(self, task: asyncio.Task[Any]) -> bool:
        code = getattr(task.get_coro(), "cr_code", None)
        return code is not None and code.co_filename.startswith(self._folder)


def _import() -> None:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    importlib.import_module(_NAME)
    for name in _LOADED_AT_THE_FIRST_CALL:
        with suppress(ImportError):
            importlib.import_module(name)


class _Interruptions:
    """Takes part in the search for modules, and finds none."""

    def __init__(self, before_each: Callable[[], None]) -> None:
        self._before_each = before_each
        self._thread = threading.get_ident()

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if threading.get_ident() == self._thread:
            self._before_each()


@contextmanager
def _interrupted(before_each: Callable[[], None]) -> Iterator[None]:
    finder: Any = _Interruptions(before_each)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def _without_collections() -> Iterator[None]:
    """No garbage collection meanwhile, and what was made is never looked at by one again.

    litellm leaves 300,000 objects that live for ever. Without this each full collection stops every session for 0.2 s,
    now and from then on; with it a few megabytes of garbage are kept.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


async def _give_up(call: asyncio.Task[Any], prepared: asyncio.Event) -> None:
    """litellm prepares a request in a thread, which brings back a coroutine: cancelled meanwhile, that one would never
    be awaited. So wait until the preparation, which takes milliseconds, is over."""
    try:
        async with asyncio.timeout(_PREPARATION):
            await prepared.wait()
    except TimeoutError:
        pass
    finally:
        call.cancel()
    await asyncio.wait({call})
    if not call.cancelled() and call.exception() is None:
        await call.result().aclose()
