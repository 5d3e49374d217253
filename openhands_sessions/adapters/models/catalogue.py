"""The models that litellm knows, read from its list of prices without loading it."""

import asyncio
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import orjson

LIST = "model_prices_and_context_window_backup.json"
_SPEAKING = ("chat", "responses")


class Catalogue:
    """Reads the list when it is first asked for, and keeps the names. Where there is no list, there are no names."""

    def __init__(self) -> None:
        self._names: Sequence[str] | None = None
        self._reading = asyncio.Lock()

    async def names(self) -> Sequence[str]:
        """Names of models that can hold a conversation, sorted."""
        async with self._reading:
            if self._names is None:
                self._names = await asyncio.to_thread(_read)
        return self._names


def _read() -> Sequence[str]:
    spec = find_spec("litellm")
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    try:
        listed = orjson.loads(Path(folders[0], LIST).read_bytes())
    except (IndexError, OSError, orjson.JSONDecodeError):
        return ()
    return tuple(
        sorted(name for name, about in listed.items() if isinstance(about, dict) and about.get("mode") in _SPEAKING)
    )
