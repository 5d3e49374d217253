"""Input without a line editor: lines as they come, and whole pipes and files."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from openhands_sessions.cli import keyboard
from openhands_sessions.cli.keyboard import LineKeyboard, whole_input
from openhands_sessions.core.errors import BadInput


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test has closed it


async def every(lines: LineKeyboard) -> list[str]:
    async with asyncio.timeout(20):
        return [line async for line in lines.messages()]


async def test_lines_come_as_they_are_written(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    async with asyncio.timeout(20), aclosing(LineKeyboard(reader).messages()) as lines:
        os.write(writer, b"one\ntw")
        assert await anext(lines) == "one"
        coming = asyncio.ensure_future(anext(lines))
        os.write(writer, b"o\n")
        assert await coming == "two"


async def test_the_end_of_the_input_ends_the_lines(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.write(writer, "first\r\n\nlast without an end: ü".encode())
    os.close(writer)
    assert await every(LineKeyboard(reader)) == ["first", "", "last without an end: ü"]


async def test_a_character_cut_in_two_is_put_together(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    first, second = "ü\n".encode()[:1], "ü\n".encode()[1:]
    coming = asyncio.ensure_future(anext(LineKeyboard(reader).messages()))
    os.write(writer, first)
    await asyncio.sleep(0)
    os.write(writer, second)
    async with asyncio.timeout(20):
        assert await coming == "ü"


async def test_being_cancelled_lets_go_of_the_descriptor(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    waiting = asyncio.ensure_future(anext(LineKeyboard(reader).messages()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    os.write(writer, b"next\n")
    async with asyncio.timeout(20):
        assert await anext(LineKeyboard(reader).messages()) == "next"


def test_a_whole_pipe_is_one_text_without_the_line_ends_at_its_end(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.write(writer, "one\r\n\n  two ü \xff\n\r\n".encode("latin-1"))
    os.close(writer)
    assert whole_input(reader) == "one\r\n\n  two \ufffd \ufffd"


def test_a_whole_file_is_one_text(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("one\ntwo\n")
    file = os.open(path, os.O_RDONLY)
    assert whole_input(file) == "one\ntwo"
    os.close(file)


def test_no_input_is_an_empty_text() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    assert whole_input(nothing) == ""
    os.close(nothing)


def test_an_input_that_no_server_would_take_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyboard, "LONGEST_INPUT", 10)
    path = tmp_path / "large"
    path.write_text("x" * 11)
    file = os.open(path, os.O_RDONLY)
    with pytest.raises(BadInput, match="at most 10 bytes"):
        whole_input(file)
    os.close(file)
