"""What streams is told in few pieces, in order, with offsets."""

import asyncio

from openhands_sessions.core.masking import SecretMasker
from openhands_sessions.ports.gateway import Delta
from openhands_sessions.session.delta_coalescing import INTERVAL, LONGEST, DeltaCoalescer


class Ear:
    """Hears deltas; `heard` waits for so many."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []
        self._news = asyncio.Event()

    def __call__(self, delta: Delta) -> None:
        self.deltas.append(delta)
        self._news.set()

    async def heard(self, count: int) -> list[Delta]:
        async with asyncio.timeout(20):
            while len(self.deltas) < count:
                self._news.clear()
                await self._news.wait()
        return self.deltas


def writer(ear: Ear) -> DeltaCoalescer:
    return DeltaCoalescer(ear, "reply", "7", SecretMasker())


async def test_pieces_that_come_close_together_are_told_as_one() -> None:
    ear = Ear()
    stream = writer(ear)
    for word in ("to", "get", "her"):
        stream.write(word)
    assert ear.deltas == []
    assert await ear.heard(1) == [Delta("reply", "7", 0, "together")]


def test_they_are_told_20_to_50_times_a_second() -> None:
    assert 0.02 <= INTERVAL <= 0.05


async def test_offsets_count_characters_without_a_gap() -> None:
    ear = Ear()
    stream = writer(ear)
    for text in ("aé", "", "漢字", "x"):
        stream.write(text)
        stream.flush()
    assert [(delta.offset, delta.text) for delta in ear.deltas] == [(0, "aé"), (2, "漢字"), (4, "x")]


async def test_much_text_is_told_at_once_in_pieces_of_bounded_size() -> None:
    ear = Ear()
    stream = writer(ear)
    text = "".join(str(number) for number in range(LONGEST))
    stream.write(text)
    assert "".join(delta.text for delta in ear.deltas) == text
    assert max(len(delta.text) for delta in ear.deltas) == LONGEST
    assert [delta.offset for delta in ear.deltas] == list(range(0, len(text), LONGEST))
    stream.close()


async def test_a_text_that_begins_anew_says_so_once() -> None:
    ear = Ear()
    stream = writer(ear)
    stream.write("first try")
    stream.flush()
    stream.write(" unheard")
    stream.restart()
    stream.write("second")
    stream.flush()
    stream.write(" try")
    stream.flush()
    assert [(delta.offset, delta.text, delta.restart) for delta in ear.deltas] == [
        (0, "first try", False),
        (0, "second", True),
        (6, " try", False),
    ]
    stream.close()


async def test_a_restart_before_anything_was_told_is_no_news() -> None:
    ear = Ear()
    stream = writer(ear)
    stream.write("unheard")
    stream.restart()
    stream.restart()
    stream.write("only")
    stream.flush()
    assert ear.deltas == [Delta("reply", "7", 0, "only")]


async def test_what_waits_when_the_event_is_there_is_not_told() -> None:
    ear = Ear()
    stream = writer(ear)
    stream.write("late")
    stream.close()
    stream.flush()
    other = writer(ear)
    other.write("done")
    assert await ear.heard(1) == [Delta("reply", "7", 0, "done")]


async def test_a_secret_that_comes_in_pieces_is_told_in_none_of_them() -> None:
    ear = Ear()
    stream = DeltaCoalescer(ear, "output", "7", SecretMasker(["hunter2-long"]))
    for text in ("a hun", "ter2", "-long b", " hunt"):
        stream.write(text)
        stream.flush()
    stream.restart()
    stream.write("er")
    stream.flush()
    told = [(delta.offset, delta.text, delta.restart) for delta in ear.deltas]
    assert told == [(0, "a ", False), (2, "<secret_hidden> b", False), (19, " ", False), (0, "er", True)]
    stream.close()
