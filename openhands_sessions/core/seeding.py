"""Messages of an earlier conversation, in OpenAI's chat form, as a record that a model can sum up. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json

MOST_MESSAGES = 5_000
LONGEST_MESSAGE = 8_000
"""Characters of one message that are summed up; of a longer one the beginning and the end."""
MOST_CHARACTERS = 200_000
"""Of all messages that are summed up; of more, the first one of the user and the newest."""
_SKIPPED = ("system", "developer")
_ANSWERS = ("tool", "function")


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierMessages:
    """`lines` are JSON objects, one for each message, oldest first. `skipped` counts messages of the system, `dropped`
    those that are none of the form."""

    lines: Sequence[str]
    skipped: int
    dropped: int

    def record(self, readable: int) -> tuple[str, int]:
        """The lines as one text of about so many characters at most, and how many messages are in it."""
        kept: list[str] = []
        left = readable
        for line in reversed(self.lines):
            if len(line) > left:
                break
            kept.append(line)
            left -= len(line)
        missing = len(self.lines) - len(kept)
        if not missing:
            return "\n".join(reversed(kept)), len(kept)
        first = next((line for line in self.lines[:missing] if line.startswith('{"role":"user"')), self.lines[0])
        cut = first[: max(0, readable // 4)]
        note = f"[... {missing - 1} messages left out ...]"
        return "\n".join([cut, note, *reversed(kept)]), len(kept) + 1


def earlier_messages(messages: Sequence[Json], field: str = "messages") -> EarlierMessages:
    """What of a client's messages, which came in this field, can be summed up. Raises BadInput where nothing can."""
    lines: list[str] = []
    skipped = 0
    for message in messages:
        if isinstance(message, Mapping) and message.get("role") in _SKIPPED:
            skipped += 1
        elif isinstance(message, Mapping) and (line := _line(message)) is not None:
            lines.append(line)
    if not lines:
        raise BadInput(field, "must hold a message of a user or an assistant, with `role` and `content`")
    return EarlierMessages(lines=lines, skipped=skipped, dropped=len(messages) - skipped - len(lines))


def _line(message: Mapping[str, Json]) -> str | None:
    """None for a message of another form."""
    role, text, calls = message.get("role"), _text(message.get("content")), list(_calls(message.get("tool_calls")))
    if role in _ANSWERS and text is not None:
        return _json({"role": "tool", "result_of": _name(message), "content": _cut(text)})
    if role == "assistant" and (text or calls):
        said: dict[str, Json] = {"role": role, "content": _cut(text or "")}
        return _json({**said, "calls": calls} if calls else said)
    return _json({"role": role, "content": _cut(text)}) if role == "user" and text else None


def _text(content: Json) -> str | None:
    """The text of a message's content, empty where it has none; None for what is no content."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list | tuple):
        return None
    parts = [_part(part) for part in content]
    return None if None in parts else "\n".join(filter(None, parts))


def _part(part: Json) -> str | None:
    if not isinstance(part, Mapping):
        return None
    text = part.get("text")
    return text if isinstance(text, str) else f"[{str(part.get('type', 'part'))[:32]}]"


def _calls(calls: Json) -> Iterator[Json]:
    for call in calls if isinstance(calls, list | tuple) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping) and isinstance(name := function.get("name"), str):
            yield _cut(f"{name} {function.get('arguments', '')}")


def _name(message: Mapping[str, Json]) -> str:
    return str(message.get("name") or message.get("tool_call_id") or "")[:128]


def _cut(text: str) -> str:
    if len(text) <= LONGEST_MESSAGE:
        return text
    half = LONGEST_MESSAGE // 2
    return f"{text[:half]}[... {len(text) - 2 * half} characters left out ...]{text[-half:]}"


def _json(message: Mapping[str, Json]) -> str:
    """A text that can be stored nowhere, such as a lone surrogate, is replaced."""
    try:
        return orjson.dumps(message).decode()
    except TypeError:
        plain = {name: _plain(value) for name, value in message.items()}
        return orjson.dumps(plain).decode()


def _plain(value: Json) -> Json:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value).encode("utf-8", "replace").decode()
