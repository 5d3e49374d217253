"""A session file is read as it was written, or an error says up to where it is sound."""

import pickle
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings

from openhands_sessions.core import session_file
from openhands_sessions.core.errors import CorruptSession, UnsafeFormat
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import Stored, stored
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.session_file import VERSION, SessionFile, file_lines, read_file
from tests.support.log_builder import LogBuilder
from tests.support.moved_logs import books
from tests.support.seeds import printed_seed

HEAD: dict[str, Any] = {"session": "my-id", "agent": {"name": "helper"}}


def entries(count: int) -> list[Stored]:
    return [stored(MessageAction(id=EventId(number), content=f"text {number} ✓")) for number in range(count)]


def content(count: int = 4) -> bytes:
    return b"".join(file_lines(SessionFile(head=HEAD, entries=entries(count))))


@given(books())
@settings(max_examples=30)
def test_what_was_written_is_read(book: LogBuilder) -> None:
    held = [stored(event) for event in book.events]
    read = read_file(b"".join(file_lines(SessionFile(head=HEAD, entries=held))))
    assert read.entries == held
    assert {name: read.head[name] for name in HEAD} == HEAD


def test_each_line_is_json_and_the_first_names_the_format() -> None:
    first, *events, last = [orjson.loads(line) for line in content().splitlines()]
    assert (first["format"], first["version"]) == ("openhands-session", VERSION)
    assert [line["event"]["id"] for line in events] == [0, 1, 2, 3]
    assert last["events"] == 4


def test_every_cut_is_noticed_and_leaves_what_is_sound() -> None:
    whole = content()
    for cut in range(len(whole)):
        whole_events = min(whole[:cut].count(b"\n") - 1, 4)
        with pytest.raises((CorruptSession, UnsafeFormat)) as told:
            read_file(whole[:cut])
        if isinstance(told.value, CorruptSession) and whole_events >= 0:
            assert told.value.last_good == whole_events - 1
            assert list(read_file(whole[:cut], recover=True).entries) == entries(whole_events)


def test_every_flipped_bit_is_noticed() -> None:
    whole, rng = content(40), Random(printed_seed())
    for _ in range(1_000):
        place = rng.randrange(len(whole))
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.randrange(8)
        with pytest.raises((CorruptSession, UnsafeFormat)):
            read_file(bytes(changed))


def test_lines_that_are_left_out_repeated_swapped_or_added_are_noticed() -> None:
    lines = content().splitlines(keepends=True)
    for changed in (
        [*lines[:2], *lines[3:]],
        [*lines[:3], lines[2], *lines[3:]],
        [*lines[:2], lines[3], lines[2], *lines[4:]],
        [*lines, lines[-1]],
        [*lines, b"\n"],
    ):
        with pytest.raises(CorruptSession):
            read_file(b"".join(changed))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [{"a": 1}, [1], ("x",), "text", b"bytes", 7, None], ids=repr)
def test_a_pickle_is_refused_unread(protocol: int, value: object) -> None:
    with pytest.raises(UnsafeFormat, match="pickle"):
        read_file(pickle.dumps(value, protocol))


@pytest.mark.parametrize("other", [b"", b"{}", b"PK\x03\x04", b"\x1f\x8b", b"SQLite format 3\0", b'{"sum":"'])
def test_other_files_are_refused(other: bytes) -> None:
    with pytest.raises((UnsafeFormat, CorruptSession)):
        read_file(other)


def rewritten(line: int, body: bytes) -> bytes:
    """A file with one other line, whose checksums fit."""
    bodies = [each[session_file._BODY :] for each in content(1).splitlines()]
    bodies[line] = body
    made, before = b"", ""
    for each in bodies:
        text, before = session_file._line(each, before)
        made += text
    return made


def test_a_newer_version_is_refused_by_its_name() -> None:
    with pytest.raises(UnsafeFormat, match="version 2"):
        read_file(rewritten(0, b'"format":"openhands-session","version":2}'))
    with pytest.raises(UnsafeFormat, match="newer"):
        read_file(rewritten(1, b'"schema":99,"event":{"id":0}}'))


NO_EVENTS = {
    "number": b"7",
    "empty": b"{}",
    "another-number": b'{"id":1}',
    "text": b'{"id":"0"}',
    "deep": b'{"id":0,"args":' + b"[" * 300 + b"]" * 300 + b"}",
    "bomb": b"[" * 100_000,
    "no-utf-8": b"\xff",
}


@pytest.mark.parametrize("event", NO_EVENTS.values(), ids=NO_EVENTS)
def test_what_is_no_event_of_ours_is_refused(event: bytes) -> None:
    with pytest.raises(UnsafeFormat):
        read_file(rewritten(1, b'"schema":2,"event":' + event + b"}"))


def test_a_head_that_is_no_object_is_refused() -> None:
    with pytest.raises(CorruptSession):
        read_file(rewritten(0, b"7"))
