"""Marks are taken out of a stream however it is cut, and nothing else is."""

import asyncio
import os

import pytest

from openhands_sessions.executor.terminal import MarkParser, Terminal


class Seen:
    """What came out of a stream: data as bytes, marks as texts, in order."""

    def __init__(self) -> None:
        self.items: list[bytes | str] = []

    def data(self, data: bytes) -> None:
        if self.items and isinstance(self.items[-1], bytes):
            self.items[-1] += data
        else:
            self.items.append(data)

    def mark(self, text: str) -> None:
        self.items.append(text)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def marks(seen: Seen) -> MarkParser:
    return MarkParser(seen.data, seen.mark)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40, 1000])
def test_marks_are_found_however_the_stream_is_cut(marks: MarkParser, seen: Seen, size: int) -> None:
    stream = b"one" + marks.encode("a:0") + b"\x1b[1mtwo\x1b" + marks.encode("b:1") + marks.encode("c:2") + b"three"
    for start in range(0, len(stream), size):
        marks.feed(stream[start : start + size])
    assert seen.items == [b"one", "a:0", b"\x1b[1mtwo\x1b", "b:1", "c:2", b"three"]


def test_what_only_resembles_a_mark_is_output(marks: MarkParser, seen: Seen) -> None:
    unfinished = b"\x1b_" + marks.nonce.encode() + b":" + b"x" * 200
    others = b"\x1b_" + b"0" * 32 + b":a:0\0"
    marks.feed(others + unfinished)
    assert seen.items == [others + unfinished]


def test_no_two_streams_share_a_nonce(seen: Seen) -> None:
    assert MarkParser(seen.data, seen.mark).nonce != MarkParser(seen.data, seen.mark).nonce


async def test_a_mark_comes_after_all_output_before_it(seen: Seen) -> None:
    marked = asyncio.Event()

    def on_mark(text: str) -> None:
        seen.mark(text)
        marked.set()

    terminal = Terminal(seen.data, on_mark)
    try:
        os.set_blocking(terminal.tty, True)
        os.write(terminal.tty, b"printed\r\n\t\xff")
        assert await terminal.mark("t:gone")
        async with asyncio.timeout(20):
            await marked.wait()
        assert seen.items == [b"printed\r\n\t\xff", "t:gone"]
    finally:
        terminal.close()


async def test_typing_that_no_process_reads_gives_up(seen: Seen) -> None:
    terminal = Terminal(seen.data, seen.mark)
    try:
        async with asyncio.timeout(20):
            assert not await terminal.type("line\n" * 10000)
            terminal.reset()
            assert await terminal.type("line\n")
    finally:
        terminal.close()
