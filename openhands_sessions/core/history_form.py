"""The form in which a model is shown a conversation: the usual one, or a simpler one where a provider refused it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import NAMESPACE_OID, uuid5

import orjson

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import UNNUMBERED, EventId

Message = dict[str, Json]

NO_IMAGES = "[An image was here. This model cannot look at images.]"
NO_TEXT = "[nothing]"
LEFT_OUT = "(Older messages and results are left out.)"
"""In place of a summary."""
_LEAST_OF_SUMMARY = 200
"""Characters of a summary below which it says nothing more."""
_OF_MARK = 60
"""Characters that are enough for what stands in place of the middle of a shortened text."""
_SIZE_OF_IMAGE = 6_000
"""Characters that an image counts for, whatever its size: models see it as some 1,500 tokens."""
_LEAST_OF_PROMPT = 4_000
"""Characters of the system prompt that are shown however short texts have to be."""
_HEAD = 0.6
"""The share of a shortened text that is its beginning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryForm:
    """How the events of a conversation are shown to `model`. The default is the usual form; ids are of events, and
    what they say holds for these and all older ones."""

    model: str = ""
    readable: int = 0
    """Characters that the model is known to read at most; 0: unknown."""
    longest: int = 0
    """Characters that a text may have up to the event `shortened`; 0: any number."""
    shortened: EventId = UNNUMBERED
    without_images: EventId = UNNUMBERED
    """Up to this event a note stands for each image."""
    plain: bool = False
    """Whether messages have only what every provider knows: short ids, no fields beside text and calls, no empty
    texts, no two messages of one speaker in a row."""
    told: EventId = UNNUMBERED
    """Up to this event calls and results are told as text, and the system prompt as the user's."""

    @property
    def changes(self) -> bool:
        """Whether some events are shown otherwise than usual."""
        return bool(self.longest) or max(self.without_images, self.told) > UNNUMBERED


USUAL = HistoryForm()


def reformed(messages: Sequence[Message], event: EventId, form: HistoryForm) -> Sequence[Message]:
    """What the event became, in this form: one message, or a reply with its calls and their results."""
    if UNNUMBERED < form.without_images >= event:
        messages = [without_images(message) for message in messages]
    if form.longest and event <= form.shortened:
        messages = [_shortened(message, form.longest) for message in messages]
    if UNNUMBERED < form.told >= event:
        messages = list(_told(messages))
    return messages


def arranged(messages: Iterable[Message], form: HistoryForm) -> Sequence[Message]:
    """The whole history, each id of a call once: some models number the calls of each reply anew."""
    named = _named_once(messages, plain=form.plain)
    if not form.plain:
        return named
    simple = (_plain(message) for message in named)
    if form.told > UNNUMBERED:
        simple = ({**message, "role": "user"} if message["role"] == "system" else message for message in simple)
    return _joined(simple)


def without_images(message: Mapping[str, Json]) -> Message:
    """The message for a model that does not take its images: it would refuse the whole dialogue because of one."""
    content = message.get("content")
    if not isinstance(content, list):
        return dict(message)
    parts: list[Json] = [part if _text_of(part) is not None else _part(NO_IMAGES) for part in content]
    return {**message, "content": parts}


def size_of(value: object) -> int:
    """The characters of messages, or of other JSON, that a model reads. An image counts the same whatever its size."""
    match value:
        case str():
            return len(value)
        case Mapping() if value.get("type") == "image_url":
            return _SIZE_OF_IMAGE
        case Mapping():
            return sum(map(size_of, value.values()))
        case list() | tuple():
            return sum(map(size_of, value))
        case _:
            return 0


def shorten(text: str, longest: int) -> str:
    """The text with its middle left out where it is longer than `longest` characters."""
    if len(text) <= longest:
        return text
    head = int(longest * _HEAD)
    tail = longest - head
    return f"{text[:head]}\n[… {len(text) - longest} characters are left out here …]\n{text[len(text) - tail :]}"


def shrinking_summary(summary: str, before: int, size_with: Callable[[str], int]) -> str:
    """The summary, or as much of it that the history is smaller with it than `before`: shortened, a note, or nothing.
    `size_with` gives the characters of the history with a summary; with an empty one it must be below `before`."""
    longest = len(summary) - (size_with(summary) - before) - _OF_MARK
    shorter = shorten(summary, longest) if longest >= _LEAST_OF_SUMMARY else LEFT_OUT
    return next((text for text in (summary, shorter, LEFT_OUT) if size_with(text) < before), "")


def _shortened(message: Message, longest: int) -> Message:
    if message.get("role") == "system":
        longest = max(longest, _LEAST_OF_PROMPT)
    changed = {**message, "content": _shortened_value(message.get("content"), longest)}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        changed["tool_calls"] = [_with_arguments(call, longest) for call in calls]
    return changed


def _with_arguments(call: Json, longest: int) -> Json:
    if not isinstance(call, dict) or not isinstance(function := call.get("function"), dict):
        return call
    arguments = str(function.get("arguments"))
    if len(arguments) <= longest:
        return call
    short = _shortened_value(orjson.loads(arguments), longest)
    return {**call, "function": {**function, "arguments": orjson.dumps(short).decode()}}


def _shortened_value(value: Json, longest: int) -> Json:
    """Addresses of images stay whole."""
    match value:
        case str():
            return shorten(value, longest)
        case list():
            return [_shortened_value(item, longest) for item in value]
        case dict() if value.get("type") != "image_url":
            return {key: _shortened_value(item, longest) for key, item in value.items()}
        case _:
            return value


def _told(messages: Sequence[Message]) -> Iterator[Message]:
    for message in messages:
        calls = message.get("tool_calls")
        if message["role"] == "tool":
            result = f"[Result of {message.get('name') or 'the call'}]\n{message.get('content') or NO_TEXT}"
            yield {"role": "user", "content": result}
        elif isinstance(calls, list):
            said = [str(message.get("content") or ""), *map(_call_told, calls)]
            yield {"role": "assistant", "content": "\n".join(text for text in said if text)}
        else:
            yield message


def _call_told(call: Json) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    return f"[Called {function['name']} with {function['arguments']}]" if isinstance(function, dict) else ""


def _named_once(messages: Iterable[Message], *, plain: bool) -> list[Message]:
    """Ids that are missing or were there before are made anew, the same way each time; in plain form all are."""
    taken: set[str] = set()
    names: dict[str, str] = {}
    named = list(messages)
    for place, message in enumerate(named):
        if isinstance(calls := message.get("tool_calls"), list):
            names = {}
            made: list[Json] = []
            for call in calls:
                key = str(call["id"]) if isinstance(call, dict) else ""
                names[key] = _new_name(key, taken, plain=plain)
                made.append({**call, "id": names[key]} if isinstance(call, dict) else call)
            named[place] = {**message, "tool_calls": made}
        elif message["role"] == "tool":
            key = str(message["tool_call_id"])
            named[place] = {**message, "tool_call_id": names.get(key, key)}
    return named


def _new_name(key: str, taken: set[str], *, plain: bool) -> str:
    """In plain form nine letters and digits, which is all that the strictest providers take."""
    name, number = key, 0
    while not name or name in taken or (plain and number == 0):
        number += 1
        digits = uuid5(NAMESPACE_OID, f"{key}#{number}").hex
        name = digits[:9] if plain else f"call_{digits[:24]}"
    taken.add(name)
    return name


def _plain(message: Message) -> Message:
    content = message.get("content")
    calls = message.get("tool_calls")
    if isinstance(content, list):
        content = [part for part in content if _text_of(part) is None or _text_of(part)]
    simple: Message = {"role": message["role"], "content": content or (None if calls else NO_TEXT)}
    if isinstance(calls, list):
        simple["tool_calls"] = [
            {"id": call["id"], "type": "function", "function": call["function"]}
            for call in calls
            if isinstance(call, dict)
        ]
    if "tool_call_id" in message:
        simple["tool_call_id"] = message["tool_call_id"]
    return simple


def _joined(messages: Iterable[Message]) -> Sequence[Message]:
    """Messages of one speaker that follow each other, as one."""
    joined: list[Message] = []
    for message in messages:
        last = joined[-1] if joined else None
        if last is None or message["role"] != last["role"] or message["role"] == "tool" or "tool_calls" in last:
            joined.append(message)
            continue
        joined[-1] = {**last, **message, "content": _both(last["content"], message["content"])}
    return joined


def _both(first: Json, second: Json) -> Json:
    if first is None or second is None:
        return first or second
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*(_parts(first)), *(_parts(second))]


def _parts(content: Json) -> Sequence[Json]:
    return content if isinstance(content, list) else [_part(str(content))]


def _part(text: str) -> Json:
    return {"type": "text", "text": text}


def _text_of(part: Json) -> str | None:
    return str(part.get("text")) if isinstance(part, dict) and part.get("type") == "text" else None
