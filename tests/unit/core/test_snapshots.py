"""The ladder of snapshots: few, and one near every event."""

from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.core.ids import EventId
from openhands_sessions.core.snapshots import DENSE, LONGEST, SPACING, kept, rungs, spacing

HEADS = st.lists(st.integers(0, 10**7).map(EventId), min_size=1, unique=True)
STEPS = st.lists(st.integers(1, SPACING), min_size=1, max_size=200)


def most(newest: int) -> int:
    """How many snapshots a log may have: ten stretches, then one for each longer stretch, and the newest."""
    return 13 + max(0, newest - DENSE) // LONGEST


def nearest(heads: list[EventId], event: int) -> int:
    return max(head for head in heads if head <= event)


@given(HEADS)
def test_some_are_kept_the_newest_among_them_and_again_the_same(heads: list[EventId]) -> None:
    found = kept(heads)
    assert set(found) <= set(heads)
    assert found[-1] == max(heads)
    assert list(found) == sorted(found)
    assert kept(found) == found
    assert len(found) <= most(max(heads))


@given(HEADS)
def test_what_is_removed_has_a_kept_one_less_than_two_spacings_below(heads: list[EventId]) -> None:
    found, newest = list(kept(heads)), max(heads)
    for head in heads:
        assert head - nearest(found, head) < 2 * spacing(newest - head)


@settings(deadline=None)
@given(STEPS, st.integers(1, 300))
def test_a_log_that_grows_and_is_thinned_each_time_keeps_a_snapshot_near_every_event(
    steps: list[int], repeats: int
) -> None:
    heads: list[EventId] = []
    newest = 0
    for step in (steps * repeats)[:2_000]:
        newest += step
        heads = list(kept([*heads, EventId(newest)]))
        assert heads[-1] == newest
    assert len(heads) <= most(newest)
    for event in range(steps[0], newest, 997):
        assert event - nearest(heads, event) < 2 * spacing(newest - event) + SPACING


@settings(deadline=None)
@given(st.integers(0, 3_000_000))
def test_the_rungs_of_a_fold_are_what_would_be_kept(newest: int) -> None:
    found = list(rungs(newest))
    assert len(found) <= most(newest)
    assert kept(found, newest) == found
    for event in range(SPACING, newest, 9_973):
        assert event - nearest(found, event) < 2 * spacing(newest - event)


def test_the_newest_ten_thousand_events_have_one_each_thousand() -> None:
    assert list(rungs(10_500)) == list(range(1_000, 10_500, 1_000))
    assert [spacing(distance) for distance in (0, 9_999, 10_000, 19_999, 20_000, 40_000)] == [
        *(1_000, 1_000, 2_000, 2_000, 2_000, 2_000)
    ]
