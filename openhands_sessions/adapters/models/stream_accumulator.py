"""Puts a streamed reply together from its chunks, as the provider sent them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from openhands_sessions.adapters.models.failures import POLICY, ReplyCut, model_failure
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.json_text import TextJoiner, whole, without_halves
from openhands_sessions.core.money import MicroDollars
from openhands_sessions.ports.model import FinishReason, RequestedCall, Usage

_FINISH: Mapping[str, FinishReason] = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos", "complete"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
    **dict.fromkeys(("tool_calls", "function_call", "tool_use", "tool_call"), "tool_calls"),
    **dict.fromkeys(("content_filter", "safety", "refusal", "recitation", "blocklist"), "content_filter"),
}
"""The providers' words for how a reply ended."""
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Fields with readable thoughts; the first that a delta has counts, since some providers send the same twice."""
_OWN = {"role", "content", "tool_calls", "function_call", "refusal", "audio", "images", "annotations"}
_OWN_OF_CALL = {"index", "id", "type", "function"}
_REPEATED = {"type", "id", "index", "format", "role", "name", "object"}
"""Keys whose value each piece repeats; other texts are continued by each piece."""


@dataclass(slots=True)
class _PartialCall:
    """A tool call so far."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    extra: dict[str, Json] = field(default_factory=dict)


class StreamAccumulator:
    """One reply while it streams. `on_text` and `on_thought` get whole characters: half a surrogate pair is held back.
    `usage` is the provider's own object, None until it came."""

    def __init__(self, on_text: Callable[[str], None], on_thought: Callable[[str], None]) -> None:
        self.id = ""
        self.model = ""
        self.usage: Any = None
        self._finish = ""
        self._texts = TextJoiner(on_text)
        self._thoughts = TextJoiner(on_thought)
        self._calls: list[_PartialCall] = []
        self._extra: dict[str, Json] = {}

    @property
    def text(self) -> str:
        return self._texts.text

    @property
    def thoughts(self) -> str:
        return self._thoughts.text

    @property
    def extra(self) -> Mapping[str, Json]:
        """What the provider said beside text and calls, by its fields."""
        tidied: Mapping[str, Json] = whole(self._extra)
        return tidied

    @property
    def finish(self) -> FinishReason | None:
        return _FINISH.get(self._finish.lower())

    @property
    def finished(self) -> bool:
        """Whether the provider said that the reply is over."""
        return bool(self._finish)

    def add(self, chunk: Mapping[str, Any]) -> None:
        """Take a chunk of the chat-completions form."""
        self.id = self.id or str(chunk.get("id") or "")
        self.model = self.model or str(chunk.get("model") or "")
        self.usage = chunk.get("usage") or self.usage
        heard = False
        for choice in chunk.get("choices") or ():
            if not isinstance(choice, Mapping):
                continue
            self._finish = str(choice.get("finish_reason") or self._finish)
            delta = choice.get("delta") or choice.get("message")
            if isinstance(delta, Mapping):
                heard = self._take(delta, silent=heard) or heard

    def _take(self, delta: Mapping[str, Any], *, silent: bool) -> bool:
        """Calls of every choice count, text of the first that has some. Whether this one had text."""
        for fragment in delta.get("tool_calls") or ():
            if isinstance(fragment, Mapping):
                self._add_fragment(fragment)
        content = delta.get("content")
        if silent:
            return False
        thought = next((text for name in _THOUGHTS if isinstance(text := delta.get(name), str) and text), "")
        self._thoughts.add(thought)
        merge(self._extra, {key: value for key, value in delta.items() if key not in _OWN and value})
        text = content if isinstance(content, str) else ""
        self._texts.add(text)
        return bool(text)

    def calls(self) -> Sequence[RequestedCall]:
        """The tool calls, each with an id of its own: one that is missing or doubled is made up from the reply's."""
        seen: set[str] = set()
        calls = []
        for position, call in enumerate(self._calls):
            key = without_halves(call.id)
            if not key or key in seen:
                key = f"call_{uuid5(NAMESPACE_OID, f'{self.id}:{position}').hex[:24]}"
            seen.add(key)
            arguments = without_halves(call.arguments)
            name = without_halves(call.name)
            calls.append(RequestedCall(id=key, name=name, arguments=arguments, extra=whole(call.extra)))
        return calls

    def check(self, *, finished: bool) -> None:
        """Raise ReplyCut where the stream ended without saying that the reply is whole, ModelFailure where the
        provider's content filter took all of it."""
        self._texts.end()
        self._thoughts.end()
        if not finished:
            raise ReplyCut("the stream ended in the middle")
        if self.finish == "content_filter" and not self.text and not self._calls:
            raise model_failure(POLICY)

    def _add_fragment(self, fragment: Mapping[str, Any]) -> None:
        """Fragments with the same index belong together, but for one that brings another id: some servers number
        all their calls 0."""
        index, key = fragment.get("index"), str(fragment.get("id") or "")
        index = index if isinstance(index, int) else len(self._calls)
        call = next((call for call in reversed(self._calls) if call.index == index), None)
        if call is None or (key and call.id and key != call.id):
            call = _PartialCall(index)
            self._calls.append(call)
        call.id = call.id or key
        merge(call.extra, {key: value for key, value in fragment.items() if key not in _OWN_OF_CALL and value})
        function = fragment.get("function")
        if isinstance(function, Mapping):
            call.name = call.name or str(function.get("name") or "")
            arguments = function.get("arguments")
            call.arguments += arguments if isinstance(arguments, str) else ""


def merge(whole: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Add a piece of streamed fields to what came before: texts continue each other, lists and objects item by item."""
    for key, value in piece.items():
        before = whole.get(key)
        if isinstance(before, str) and isinstance(value, str) and key not in _REPEATED:
            whole[key] = before + value
        elif isinstance(before, dict) and isinstance(value, Mapping):
            merge(before, value)
        elif isinstance(value, list):
            whole[key] = _with_items(before if isinstance(before, list) else [], value)
        elif isinstance(value, Mapping):
            whole[key] = {}
            merge(whole[key], value)
        elif value is not None:
            whole[key] = value


def _with_items(items: list[Any], fresh: Sequence[Any]) -> list[Any]:
    for item in fresh:
        open_item = _continued(items, item) if isinstance(item, Mapping) else None
        if open_item is not None:
            merge(open_item, item)
        elif isinstance(item, Mapping):
            made: dict[str, Any] = {}
            merge(made, item)
            items.append(made)
        else:
            items.append(item)
    return items


def _continued(items: Sequence[Any], item: Mapping[str, Any]) -> dict[str, Any] | None:
    """The item that this one continues: by its index, else the last one of its type that is not signed yet."""
    found = [one for one in items if isinstance(one, dict) and one.get("type") == item.get("type")]
    if "index" in item:
        return next((one for one in found if one.get("index") == item["index"]), None)
    last = items[-1] if items else None
    return (
        last if isinstance(last, dict) and last in found and not (last.get("signature") or last.get("data")) else None
    )


def counted(usage: Any, *, cost: MicroDollars | None, latency: float) -> Usage:
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
