"""Puts a streamed reply together from its chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from openhands_sessions.adapters.models.failures import POLICY, ReplyCut, model_failure
from openhands_sessions.core.events.own import PlannedCall
from openhands_sessions.ports.model import Usage


@dataclass(slots=True)
class _PartialCall:
    """A tool call so far."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class StreamAccumulator:
    """One reply while it streams. `usage` is the provider's own object, None until it came."""

    def __init__(self) -> None:
        self.id = ""
        self.model = ""
        self.finish: str | None = None
        self.usage: Any = None
        self._text: list[str] = []
        self._calls: list[_PartialCall] = []

    @property
    def text(self) -> str:
        return "".join(self._text)

    def add(self, chunk: Any) -> str:
        """Take a chunk and return the new piece of text in it."""
        self.id = self.id or str(getattr(chunk, "id", None) or "")
        self.model = self.model or str(getattr(chunk, "model", None) or "")
        self.usage = getattr(chunk, "usage", None) or self.usage
        fresh = ""
        for choice in (getattr(chunk, "choices", None) or [])[:1]:
            self.finish = getattr(choice, "finish_reason", None) or self.finish
            delta = choice.delta
            for fragment in getattr(delta, "tool_calls", None) or []:
                self._add_fragment(fragment)
            content = getattr(delta, "content", None)
            fresh = content if isinstance(content, str) else ""
        if fresh:
            self._text.append(fresh)
        return fresh

    def calls(self) -> Sequence[PlannedCall]:
        """The tool calls, each with an id of its own: one that is missing or doubled is made up from the reply's."""
        seen: set[str] = set()
        calls = []
        for position, call in enumerate(self._calls):
            key = call.id
            if not key or key in seen:
                key = f"call_{uuid5(NAMESPACE_OID, f'{self.id}:{position}').hex[:24]}"
            seen.add(key)
            calls.append(PlannedCall(id=key, name=call.name, arguments=call.arguments))
        return calls

    def check(self, finished: bool) -> None:
        """Raise ReplyCut where the stream ended without saying that the reply is whole, ModelFailure where the
        provider's content filter took all of it."""
        if not finished:
            raise ReplyCut("the stream ended in the middle")
        if self.finish == "content_filter" and not self._text and not self._calls:
            raise model_failure(POLICY)

    def _add_fragment(self, fragment: Any) -> None:
        """Fragments with the same index belong together, but for one that brings another id: some servers number
        all their calls 0."""
        index = fragment.index if isinstance(getattr(fragment, "index", None), int) else len(self._calls)
        call = next((call for call in reversed(self._calls) if call.index == index), None)
        if call is None or (fragment.id and call.id and fragment.id != call.id):
            call = _PartialCall(index)
            self._calls.append(call)
        call.id = call.id or fragment.id or ""
        if fragment.function is not None:
            call.name = call.name or fragment.function.name or ""
            call.arguments += fragment.function.arguments or ""


def counted(usage: Any, *, cost: float, latency: float) -> Usage:
    """The provider's usage as ours. Prompt tokens include the cached ones."""
    details = getattr(usage, "prompt_tokens_details", None)
    return Usage(
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
        cache_read_tokens=_count(details, "cached_tokens") or _count(usage, "cache_read_input_tokens"),
        cache_write_tokens=_count(usage, "cache_creation_input_tokens") or _count(details, "cache_creation_tokens"),
        cost=cost,
        latency=latency,
    )


def _count(holder: Any, name: str) -> int:
    value = getattr(holder, name, None)
    return value if isinstance(value, int) else 0
