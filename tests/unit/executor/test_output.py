"""Head and tail of an output, and the place of a listener in it."""

import asyncio

import pytest

from openhands_sessions.executor.capture import PENDING, OutputCapture
from openhands_sessions.executor.command import OutputListener


@pytest.mark.parametrize("size", [1, 3, 10, 1000])
def test_a_short_output_is_kept_whole(size: int) -> None:
    capture = OutputCapture(10, 10)
    add(capture, b"0123456789abcdefghij", size)
    assert capture.text() == ("0123456789abcdefghij", 0)


@pytest.mark.parametrize("size", [1, 3, 10, 1000])
def test_of_a_long_output_head_and_tail_are_kept(size: int) -> None:
    capture = OutputCapture(10, 10)
    add(capture, b"0123456789" + b"x" * 500 + b"abcdefghij", size)
    assert capture.text() == ("0123456789\n[... 500 bytes left out ...]\nabcdefghij", 500)
    assert capture.total == 520


def test_a_character_that_was_cut_leaves_no_rubbish() -> None:
    capture = OutputCapture(4, 4)
    capture.add("ääääääää".encode())
    assert capture.text() == ("ää\n[... 8 bytes left out ...]\nää", 8)
    capture = OutputCapture(3, 3)
    capture.add("ääääääää".encode())
    assert capture.text() == ("ä\n[... 10 bytes left out ...]\nä", 10)


def test_a_cap_of_nothing_keeps_nothing() -> None:
    capture = OutputCapture(0, 0)
    capture.add(b"abc")
    assert capture.text() == ("[... 3 bytes left out ...]\n", 3)


def test_bytes_that_are_no_text_are_replaced() -> None:
    capture = OutputCapture(10, 10)
    capture.add(b"a\xffb")
    assert capture.text() == ("a�b", 0)


async def test_a_listener_gets_pieces_without_a_gap() -> None:
    listener = OutputListener(OutputCapture(0, 0))
    listener.add(b"one ")
    listener.add("zw\u00f6lf".encode()[:3])
    assert listener.take() == {"from": 0, "to": 6, "text": "one zw"}
    assert listener.take() is None
    listener.add("zw\u00f6lf".encode()[3:])
    assert listener.take() == {"from": 6, "to": 10, "text": "\u00f6lf"}


async def test_what_a_listener_does_not_fetch_is_dropped_and_shows_as_a_gap() -> None:
    listener = OutputListener(OutputCapture(0, 0))
    listener.add(b"begin")
    listener.take()
    for _ in range(100):
        listener.add(b"x" * PENDING)
    piece = listener.take()
    assert piece == {"from": 5 + 99 * PENDING, "to": 5 + 100 * PENDING, "text": "x" * PENDING}


@pytest.mark.parametrize("offset", [0, 1, 6, 9, 10])
async def test_a_late_listener_gets_what_it_does_not_have(offset: int) -> None:
    capture = OutputCapture(4, 6)
    capture.add(b"0123456789")
    listener = OutputListener(capture, offset)
    if offset < 10:
        async with asyncio.timeout(20):
            await listener.wait(pause=0)
    listener.add(b"ab")
    assert listener.take() == {"from": offset, "to": 12, "text": "0123456789ab"[offset:]}


async def test_a_late_listener_gets_what_is_kept() -> None:
    capture = OutputCapture(4, 6)
    capture.add(b"0123456789" + "äöü".encode() + b"x" * (PENDING - 3))
    assert OutputListener(capture).take() == {"from": 13, "to": PENDING + 13, "text": "ü" + "x" * (PENDING - 3)}
    assert OutputListener(capture, PENDING + 12).take() == {"from": PENDING + 12, "to": PENDING + 13, "text": "x"}
    assert OutputListener(capture, PENDING + 99).take() is None


async def test_a_late_listener_gets_the_output_as_it_came() -> None:
    capture = OutputCapture(99, 99)
    capture.add(b"10%\r\x1b[1m20%")
    assert OutputListener(capture).take() == {"from": 0, "to": 11, "text": "10%\r\x1b[1m20%"}


async def test_a_listener_goes_over_to_what_was_printed_meanwhile() -> None:
    listener = OutputListener(OutputCapture(9, 9))
    meanwhile = OutputCapture(9, 9)
    meanwhile.add(b"said ")
    listener.restart(meanwhile)
    async with asyncio.timeout(20):
        await listener.wait(pause=0)
    listener.add(b"and done")
    assert listener.take() == {"from": 0, "to": 13, "text": "said and done"}


async def test_a_listener_hears_of_the_end_at_once() -> None:
    listener = OutputListener(OutputCapture(0, 0))
    waiting = asyncio.create_task(listener.wait(pause=60))
    await asyncio.sleep(0)
    listener.end()
    async with asyncio.timeout(20):
        await waiting
    assert listener.ended


def add(capture: OutputCapture, data: bytes, size: int) -> None:
    for start in range(0, len(data), size):
        capture.add(data[start : start + size])
