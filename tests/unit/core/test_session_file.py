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
from openhands_sessions.core.session_file import VERSION, WITHOUT_STATE, SessionFile, file_lines, read_file
from tests.support.log_builder import LogBuilder
from tests.support.moved_logs import books
from tests.support.seeds import printed_seed

HEAD: dict[str, Any] = {"session": "my-id", "agent": {"name": "helper"}}


def entries(count: int) -> list[Stored]:
    return [stored(MessageAction(id=EventId(number), content=f"text {number} ✓")) for number in range(count)]


STATE: dict[str, Any] = {"n": 1, "list": [{"a": None}, "✓"], "user:k": True}


def content(count: int = 4, state: dict[str, Any] | None = STATE) -> bytes:
    return b"".join(file_lines(SessionFile(head=HEAD, entries=entries(count), state=state)))


@given(books())
@settings(max_examples=30)
def test_what_was_written_is_read(book: LogBuilder) -> None:
    held = [stored(event) for event in book.events]
    read = read_file(b"".join(file_lines(SessionFile(head=HEAD, entries=held))))
    assert (read.entries, read.cut) == (held, False)
    assert {name: read.head[name] for name in HEAD} == HEAD


def test_each_line_is_json_and_the_first_names_the_format() -> None:
    first, *lines, last = [orjson.loads(line) for line in content().splitlines()]
    assert (first["format"], first["version"]) == ("openhands-session", VERSION)
    assert [line["event"]["id"] for line in lines[:4]] == [0, 1, 2, 3]
    assert {line["state"]["key"]: line["state"]["value"] for line in lines[4:]} == STATE
    assert (last["events"], last["states"]) == (4, 3)


def test_a_file_without_a_state_has_the_form_that_older_programs_write_and_read() -> None:
    first, *_, last = [orjson.loads(line) for line in content(state=None).splitlines()]
    assert (first["version"], "states" in last) == (WITHOUT_STATE, False)
    assert read_file(content(state=None)).state is None
    assert read_file(content(state={})).state == {}


def test_every_cut_is_noticed_and_leaves_what_is_sound() -> None:
    whole = content()
    for cut in range(len(whole)):
        whole_events = min(whole[:cut].count(b"\n") - 1, 4)
        with pytest.raises((CorruptSession, UnsafeFormat)) as told:
            read_file(whole[:cut])
        if isinstance(told.value, CorruptSession) and whole_events >= 0:
            assert told.value.last_good == whole_events - 1
            found = read_file(whole[:cut], recover=True)
            assert (list(found.entries), found.cut) == (entries(whole_events), True)
            whole_states = max(whole[:cut].count(b"\n") - 5, 0)
            assert found.state == dict(list(STATE.items())[:whole_states])


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
        [*lines[:5], *lines[6:]],
        [*lines[:5], lines[6], lines[5], *lines[7:]],
        [*lines[:4], lines[5], lines[4], *lines[6:]],
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
    bodies = [each[session_file._BODY :] for each in content(1, {"k": 1}).splitlines()]
    bodies[line] = body
    made, before = b"", ""
    for each in bodies:
        text, before = session_file._line(each, before)
        made += text
    return made


def test_a_newer_version_is_refused_by_its_name() -> None:
    with pytest.raises(UnsafeFormat, match="version 3"):
        read_file(rewritten(0, b'"format":"openhands-session","version":3}'))
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


NO_STATES = {
    "number": b"7}",
    "no-value": b'{"key":"k"}}',
    "more": b'{"key":"k","value":1,"more":1}}',
    "key": b'{"key":"","value":1}}',
    "not-a-number": b'{"key":"k","value":NaN}}',
    "deep": b'{"key":"k","value":' + b"[" * 300 + b"]" * 300 + b"}}",
    "open": b'{"key":"k","value":1}',
}


@pytest.mark.parametrize("entry", NO_STATES.values(), ids=NO_STATES)
def test_what_no_state_can_hold_is_refused(entry: bytes) -> None:
    with pytest.raises(UnsafeFormat, match="line 3"):
        read_file(rewritten(2, b'"state":' + entry))


def test_a_key_that_comes_twice_is_noticed() -> None:
    line = b'"state":{"key":"k","value":2}}'
    with pytest.raises(CorruptSession):
        read_file(rewritten(3, line))
