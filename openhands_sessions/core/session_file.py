"""The file of one session: a line of JSON for its head, one for each event, one for each entry of its state, and one
for its end. Pure.

Each line begins with a checksum of itself and of the line before, so every byte of the file is covered, and what comes
before a damaged place is known to be sound."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from openhands_sessions.core.errors import BadInput, CorruptSession, StorageError, UnsafeFormat
from openhands_sessions.core.events.codec import SCHEMA, Stored, decode, kind_of
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.json_limits import MAX_STORED_DEPTH, too_deep
from openhands_sessions.core.state_values import checked_key, plain

FORMAT = "openhands-session"
VERSION = 2
WITHOUT_STATE = 1
"""The version of a file that says nothing of a state; older programs read it, too."""
MOST_BYTES = 512 * 1024 * 1024
LONGEST_LINE = 64 * 1024 * 1024
_SUM = 32
"""Hex digits of each checksum: SHA-256, cut to 128 bits."""
_OPENING = b'{"sum":"'
_BODY = len(_OPENING) + _SUM + len(b'",')
_EVENT = b'"schema":%d,"event":'
_STATE = b'"state":'
_PICKLES = (b"(", b"c", b"]", b"}", b"l", b"d", b"K", b"I", b"X", b"V", b"S", b"N.", b"G")
"""With which pickles of the text protocols begin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionFile:
    """What a file holds: `head` has what is known of the session besides its log. `state` are values by key; None where
    the file says nothing of it. `cut`: there was more, which is not sound."""

    head: Mapping[str, Json]
    entries: Sequence[Stored]
    state: Mapping[str, Json] | None = None
    cut: bool = False


def file_lines(file: SessionFile) -> Iterator[bytes]:
    """The file, line by line."""
    version = WITHOUT_STATE if file.state is None else VERSION
    head = orjson.dumps({"format": FORMAT, "version": version, **file.head})[1:]
    line, last = _line(head, "")
    yield line
    for entry in file.entries:
        line, last = _line(_EVENT % entry.schema + entry.text.encode() + b"}", last)
        yield line
    for key, value in (file.state or {}).items():
        line, last = _line(_STATE + orjson.dumps({"key": key, "value": value}) + b"}", last)
        yield line
    yield _line(_end(len(file.entries), None if file.state is None else len(file.state)), last)[0]


def read_file(content: bytes, *, recover: bool = False) -> SessionFile:
    """What the file holds; with `recover`, as much of it as is sound. Raises CorruptSession, UnsafeFormat."""
    _refuse_strangers(content)
    lines = _sound_lines(content)
    head, entries = _head(next(lines, (b"", True))[0]), list[Stored]()
    state: dict[str, Json] | None = {} if head["version"] == VERSION else None
    ended = False
    for body, sound in lines:
        if not sound:
            break
        if state is not None and body.startswith(_STATE):
            key, value = _state_entry(body, len(entries) + len(state))
            state[key] = value
            continue
        entry = None if state else _entry(body, len(entries))
        if entry is None:
            whole = _end(len(entries), None if state is None else len(state))
            ended = body == whole and next(lines, None) is None
            break
        entries.append(entry)
    if not ended and not recover:
        raise CorruptSession("is cut off or was changed", len(entries) - 1)
    return SessionFile(head=head, entries=entries, state=state, cut=not ended)


def _end(events: int, states: int | None) -> bytes:
    """The body of the last line."""
    counts = {"events": events} if states is None else {"events": events, "states": states}
    return orjson.dumps(counts)[1:]


def _line(body: bytes, before: str) -> tuple[bytes, str]:
    """A line of this body, and its checksum."""
    total = _checksum(body, before)
    return _OPENING + total.encode() + b'",' + body + b"\n", total


def _checksum(body: bytes, before: str) -> str:
    return hashlib.sha256(before.encode() + body).hexdigest()[:_SUM]


def _sound_lines(content: bytes) -> Iterator[tuple[bytes, bool]]:
    """The body of each line, up to the first that is not as it was written, which is given as not sound."""
    before, start = "", 0
    while start < len(content):
        end = content.find(b"\n", start)
        line = content[start : end if end >= 0 else len(content)]
        body = line[_BODY:]
        total = _checksum(body, before)
        if end < 0 or len(line) > LONGEST_LINE or line[:_BODY] != _OPENING + total.encode() + b'",':
            yield b"", False
            return
        yield body, True
        before, start = total, end + 1


def _refuse_strangers(content: bytes) -> None:
    if content.startswith(_OPENING):
        return
    if len(content) > 1 and content[0] == 0x80 and content[1] <= 5:
        raise UnsafeFormat("the file is a pickle, which can run any code when it is read: it was not read")
    if content.startswith(_PICKLES):
        raise UnsafeFormat("the file is a pickle or another program's: it was not read")
    raise UnsafeFormat("the file is no session file: Session.save writes one")


def _head(body: bytes) -> Mapping[str, Json]:
    """Raises CorruptSession, UnsafeFormat."""
    try:
        head: Any = orjson.loads(b"{" + body)
    except orjson.JSONDecodeError:
        raise CorruptSession("has no head", -1) from None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise UnsafeFormat("the file is no session file: Session.save writes one")
    if type(version := head.get("version")) is not int or version not in (WITHOUT_STATE, VERSION):
        told = f"the session file has version {version!r}, and this program reads version {VERSION}: take a newer one"
        raise UnsafeFormat(told)
    return head


def _entry(body: bytes, number: int) -> Stored | None:
    """The event of a line; None for a line of another kind. Raises UnsafeFormat for what is no event of ours: such a
    line was written so."""
    schema = next((one for one in range(SCHEMA + 1) if body.startswith(_EVENT % one)), None)
    if schema is None:
        if body.startswith(b'"schema":'):
            raise UnsafeFormat(
                f"event {number} of the session file has the form of a newer version: take a newer program"
            )
        return None
    text = body[len(_EVENT % schema) : -1]
    try:
        wire = orjson.loads(text)
        whole = body.endswith(b"}") and isinstance(wire, dict) and not too_deep(wire, MAX_STORED_DEPTH)
        event = decode(text, schema) if whole else None
    except (orjson.JSONDecodeError, StorageError, ValueError):
        event = None
    if event is None or event.id != number:
        raise UnsafeFormat(f"line {number + 2} of the session file holds no event with the number {number}")
    return Stored(EventId(number), kind_of(event), schema, text.decode())


def _state_entry(body: bytes, number: int) -> tuple[str, Json]:
    """The key and the value of a line. Raises UnsafeFormat for what a state cannot hold: such a line was written so."""
    try:
        wire = orjson.loads(body[len(_STATE) : -1])
        if body.endswith(b"}") and isinstance(wire, dict) and wire.keys() == {"key", "value"}:
            return checked_key(wire["key"]), plain(wire["value"], "value")
    except (orjson.JSONDecodeError, BadInput):
        pass
    raise UnsafeFormat(f"line {number + 2} of the session file holds no entry of a state")


def common_entries(ours: Iterable[Stored], theirs: Iterable[Stored]) -> int:
    """How many events two logs begin with that are the same."""
    count = 0
    for one, other in zip(ours, theirs, strict=False):
        if one.text != other.text:
            break
        count += 1
    return count
