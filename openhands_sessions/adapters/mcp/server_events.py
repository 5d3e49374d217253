"""A stream of server-sent events, read with bounded memory: of data that is too long only both ends are kept."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from openhands_sessions.ports.programs import LONGEST_LINE, CutLine

_ENDS = 512
_LONGEST = LONGEST_LINE + _ENDS
"""With the name of its field."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `message` where its kind is not said."""

    kind: str
    data: str | CutLine


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[ServerEvent, None]:
    """The events, until the stream ends."""
    line, event = _Line(), _Event()
    async for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            line.add(part)
            if line.empty:
                if (told := event.told()) is not None:
                    yield told
                event = _Event()
            else:
                event.take(line)
            line = _Line()
        line.add(rest)


class _Line:
    """A line that is put together; of one that grows too long the middle is dropped."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._head = b""
        self._tail = b""
        self.size = 0

    def add(self, part: bytes) -> None:
        self.size += len(part)
        self._head += part[: _ENDS - len(self._head)]
        self._tail = (self._tail + part[-_ENDS:])[-_ENDS:]
        if self.size <= _LONGEST:
            self._parts.append(part)
        else:
            self._parts.clear()

    @property
    def empty(self) -> bool:
        return self.size < 2 and self._head in (b"", b"\r")

    def field(self) -> tuple[str, bytes | CutLine]:
        """Its name and its value."""
        if self.size > _LONGEST:
            name, _, value = self._head.partition(b":")
            return _text(name), CutLine(_text(value.removeprefix(b" ")), _text(self._tail.rstrip(b"\r")))
        name, _, value = b"".join(self._parts).rstrip(b"\r").partition(b":")
        return _text(name), value.removeprefix(b" ")


class _Event:
    """The fields of an event so far."""

    def __init__(self) -> None:
        self._kind = ""
        self._data: list[bytes] = []
        self._size = 0
        self._cut: CutLine | None = None

    def take(self, line: _Line) -> None:
        name, value = line.field()
        if name == "event" and isinstance(value, bytes):
            self._kind = _text(value)
        if name == "data":
            self._add(value)

    def told(self) -> ServerEvent | None:
        """The whole event; None for one without data."""
        if self._cut is None and not self._data:
            return None
        return ServerEvent(self._kind or "message", self._cut or _text(b"\n".join(self._data)))

    def _add(self, value: bytes | CutLine) -> None:
        if isinstance(value, CutLine):
            self._cut = self._cut or value
            return
        self._size += len(value)
        self._data.append(value)
        if self._size > _LONGEST:
            self._cut = self._cut or CutLine(_text(self._data[0][:_ENDS]), "")
            self._data = [value]


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")
