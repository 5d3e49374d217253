"""litellm as this process has it: loaded when first needed, kept quiet, its connections closed at the end."""

import asyncio
import importlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
}
"""The first two keep it from fetching tables over the network, the last from reading a `.env` file."""
_LOADED_AT_THE_FIRST_CALL = ("openai.resources.chat", "litellm.litellm_core_utils.default_encoding")
"""What litellm itself would import on the event loop, where it stalls every session for over half a second."""
_WITHOUT_GATEWAY = {"_skip_mcp_handler": True}
"""Otherwise any request with tools imports litellm's MCP gateway, which fails where the `mcp` package is missing."""
_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
_GRACE = 1.0
"""Seconds that litellm's own tasks get to end in."""


class Library:
    """The loaded library. `errors` is the root of all that its calls raise."""

    def __init__(self, litellm: Any, errors: type[Exception]) -> None:
        self.errors = errors
        self._litellm = litellm
        self._folder = str(Path(litellm.__file__).parent)

    @classmethod
    def load(cls) -> "Library":
        """Import litellm: seconds of work and over 150 MB the first time, so call it in a thread."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        litellm: Any = importlib.import_module("litellm")
        for name in _LOADED_AT_THE_FIRST_CALL:
            importlib.import_module(name)
        litellm.suppress_debug_info = True
        litellm.turn_off_message_logging = True
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        return cls(litellm, importlib.import_module("openai").OpenAIError)

    def check(self, name: str, base_url: str | None) -> None:
        """Raise one of `errors` where the name tells no provider."""
        self._litellm.get_llm_provider(model=name, api_base=base_url)

    async def stream(self, arguments: Mapping[str, Any]) -> Any:
        """Begin a streamed completion; its own retries are off."""
        return await self._litellm.acompletion(
            **arguments,
            stream=True,
            stream_options={"include_usage": True},
            drop_params=True,
            num_retries=0,
            max_retries=0,
            **_WITHOUT_GATEWAY,
        )

    def price(self, name: str, usage: Any) -> float:
        """What a usage costs in US dollars by litellm's table, 0 where it has no price."""
        if usage is None:
            return 0.0
        unpriced = (self._litellm.exceptions.ModelNotMappedError, self.errors, ValueError, LookupError, TypeError)
        try:
            reply = self._litellm.ModelResponse(model=name, usage=usage)
            return float(self._litellm.completion_cost(completion_response=reply, model=name) or 0.0)
        except unpriced:
            return 0.0

    async def close(self) -> None:
        """Close the HTTP clients that litellm keeps for this event loop, and see its own tasks off."""
        cache = self._litellm.in_memory_llm_clients_cache
        ours = f"-{id(asyncio.get_running_loop())}"
        for key in [key for key in cache.cache_dict if key.endswith(ours)]:
            client = cache.cache_dict.pop(key)
            cache.ttl_dict.pop(key, None)
            await client.close()
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
