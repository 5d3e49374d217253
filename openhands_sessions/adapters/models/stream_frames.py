"""Looks at each frame of a provider's stream before litellm does, which drops what it does not know."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from openhands_sessions.adapters.models.failures import ReplyCut
from openhands_sessions.adapters.models.stream_accumulator import StreamAccumulator

DONE = "[DONE]"
_FIELDS = ("event", "id", "retry")
_WORDS = ("message", "msg", "detail", "error_message", "error_msg", "error_description", "reason", "title")
_STATUS: Mapping[str, int] = {
    "authentication_error": 401,
    "insufficient_quota": 402,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "overloaded_error": 529,
    "timeout_error": 504,
}
"""The HTTP status that an error's own name stands for."""
_LONGEST_BODY = 20_000


class StreamFrames:
    """The frames of one reply. `chunks`: they are of the chat-completions form, and the accumulator has taken them.
    `problem` is what the provider said in place of a chunk; the stream ends there."""

    def __init__(self, reply: StreamAccumulator) -> None:
        self.chunks = False
        self.done = False
        self.problem: ReplyCut | None = None
        self._reply = reply
        self._event = ""
        self._body = ""

    async def tapped(self, lines: AsyncIterator[str | bytes]) -> AsyncIterator[str | bytes]:
        """The lines of an answer, up to its end or to a problem."""
        async for line in lines:
            self._take(line.decode("utf-8", "replace") if isinstance(line, bytes) else line)
            if self.problem is not None:
                return
            yield line
        if not self.chunks and self._body.strip():
            self._judge(self._body.strip())

    def _take(self, line: str) -> None:
        name, colon, content = line.partition(":")
        if not line.strip():
            self._event = ""
        elif colon and name == "event":
            self._event = content.strip()
        elif colon and name == "data":
            self._data(content.strip())
        elif colon and (not name or name in _FIELDS):
            return
        elif not self.chunks and len(self._body) < _LONGEST_BODY:
            self._body += line + "\n"  # an answer that is no stream: litellm would fail at its first line
            if _is_json(self._body):
                self._judge(self._body)

    def _data(self, text: str) -> None:
        if text == DONE:
            self.done = True
        elif text:
            self._judge(text)

    def _judge(self, text: str) -> None:
        try:
            frame: Any = json.loads(text)
        except ValueError:
            self.problem = ReplyCut(text)
            return
        if isinstance(frame, list) and frame:
            frame = frame[0]
        if isinstance(frame, str):
            self.problem = ReplyCut(frame)
        elif isinstance(frame, dict):
            self._object(frame, text)

    def _object(self, frame: dict[str, Any], text: str) -> None:
        error = frame.get("error")
        if not error and isinstance(frame.get("choices"), list):
            self.chunks = True
            self._reply.add(frame)
        elif error or self._is_error(frame):
            holder = error if isinstance(error, Mapping) else frame
            words = (
                error
                if isinstance(error, str)
                else next((str(holder[name]) for name in _WORDS if holder.get(name)), text)
            )
            self.problem = ReplyCut(words, _status(holder) or _status(frame), text)

    def _is_error(self, frame: Mapping[str, Any]) -> bool:
        named = self._event == "error" or "error" in (frame.get("type"), frame.get("object"))
        return named or (self.chunks and "choices" not in frame and any(name in frame for name in _WORDS))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _status(error: Mapping[str, Any]) -> int | None:
    for name in ("code", "status_code", "status", "type"):
        value = error.get(name)
        number = int(value) if isinstance(value, str) and value.isdecimal() else value
        if isinstance(number, int) and 400 <= number < 600:
            return number
        if isinstance(value, str) and (known := _STATUS.get(value)):
            return known
    return None
