"""Lines from pipes and files, as they come."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from openhands_sessions.cli.terminal import Keyboard


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test has closed it


async def every(keyboard: Keyboard) -> list[str]:
    async with asyncio.timeout(20):
        return [line async for line in keyboard.lines()]


async def test_lines_come_as_they_are_written(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = Keyboard(reader).lines()
    async with asyncio.timeout(20):
        os.write(writer, b"one\ntw")
        assert await anext(lines) == "one"
        coming = asyncio.ensure_future(anext(lines))
        os.write(writer, b"o\n")
        assert await coming == "two"


async def test_the_end_of_the_input_ends_the_lines(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.write(writer, "first\r\n\nlast without an end: ü".encode())
    os.close(writer)
    assert await every(Keyboard(reader)) == ["first", "", "last without an end: ü"]


async def test_a_character_cut_in_two_is_put_together(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    first, second = "ü\n".encode()[:1], "ü\n".encode()[1:]
    coming = asyncio.ensure_future(anext(Keyboard(reader).lines()))
    os.write(writer, first)
    await asyncio.sleep(0)
    os.write(writer, second)
    async with asyncio.timeout(20):
        assert await coming == "ü"


async def test_a_file_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("one\ntwo\n")
    file = os.open(path, os.O_RDONLY)
    assert await every(Keyboard(file)) == ["one", "two"]
    os.close(file)


async def test_no_input_at_all_is_an_end(pipe: tuple[int, int]) -> None:
    reader, _ = pipe
    os.close(reader)
    assert await every(Keyboard(reader)) == []
    nothing = os.open(os.devnull, os.O_RDONLY)
    assert await every(Keyboard(nothing)) == []
    os.close(nothing)


async def test_being_cancelled_lets_go_of_the_descriptor(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    waiting = asyncio.ensure_future(anext(Keyboard(reader).lines()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    os.write(writer, b"next\n")
    async with asyncio.timeout(20):
        assert await anext(Keyboard(reader).lines()) == "next"
