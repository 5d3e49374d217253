"""The oldest generation has its turn while it is small."""

import gc
from collections.abc import Iterator

import pytest

from openhands_sessions.cli.collector import EVERY, NEXT, SELDOM, FullCollections


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    yield
    gc.set_threshold(*before)


def collected(full: FullCollections, generation: int, times: int = 1) -> tuple[int, int, int]:
    """The thresholds after so many collections."""
    for _ in range(times):
        full("start", {"generation": generation})
        full("stop", {"generation": generation})
    return gc.get_threshold()


def test_a_small_generation_has_its_turn_after_some_collections() -> None:
    full = FullCollections(most=1 << 40)
    assert collected(full, 0, 100 * EVERY) == SELDOM
    assert collected(full, 1, EVERY - 1) == SELDOM
    assert collected(full, 1) == NEXT
    assert collected(full, 2) == SELDOM
    assert collected(full, 1, EVERY) == NEXT


def test_a_large_generation_is_left_alone() -> None:
    assert collected(FullCollections(most=-1), 1, 3 * EVERY) == SELDOM


def test_a_large_generation_is_counted_less_and_less_until_it_is_small() -> None:
    full = FullCollections(most=-1)
    collected(full, 1, EVERY)
    full.most = 1 << 40
    assert collected(full, 1, 2 * EVERY - 1) == SELDOM
    assert collected(full, 1) == NEXT


def test_a_turn_that_was_not_taken_does_not_wait_for_the_generation_to_grow() -> None:
    full = FullCollections(most=1 << 40)
    assert collected(full, 1, EVERY) == NEXT
    assert collected(full, 1) == SELDOM
