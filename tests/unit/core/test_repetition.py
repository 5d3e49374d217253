"""Circles are noticed: one note for each streak, then a pause, then an end."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.core.repetition import (
    GRACE,
    LONGEST_CYCLE,
    REPEATS,
    ROUNDS,
    LoopVerdict,
    RepetitionCount,
    canonical,
    step_of,
)

FINE, NOTE, PAUSE, STOP = LoopVerdict


def verdicts(steps: str, count: RepetitionCount | None = None) -> list[LoopVerdict]:
    """As a turn has them: a note is given, and a pause or a stop ends it."""
    found, count = [], count or RepetitionCount()
    for step in steps:
        count = count.after(step)
        found.append(count.verdict)
        if count.verdict is NOTE:
            count = count.told()
        if count.verdict in (PAUSE, STOP):
            break
    return found


def after_a_pause(steps: str) -> RepetitionCount:
    count = RepetitionCount()
    for step in steps:
        count = count.after(step)
        count = count.told() if count.verdict is NOTE else count
    assert count.verdict is PAUSE
    return count.over(paused=True)


def test_the_same_step_again_and_again_is_noted_once_and_then_paused() -> None:
    assert verdicts("aaaaaaaa") == [FINE, FINE, FINE, NOTE, FINE, PAUSE]
    assert (REPEATS, GRACE) == (4, 2)


@pytest.mark.parametrize("cycle", ["ab", "abc", "abcd", "abcde", "aabb", "aaab"])
def test_a_cycle_of_two_to_five_steps_is_a_circle_too(cycle: str) -> None:
    assert len(cycle) <= LONGEST_CYCLE
    found = verdicts(cycle * 4)
    assert found[: ROUNDS * len(cycle)] == [FINE] * (ROUNDS * len(cycle) - 1) + [NOTE]
    assert found[ROUNDS * len(cycle) :] == [FINE, PAUSE]


def test_one_streak_of_three_and_then_other_steps_gets_no_note() -> None:
    assert set(verdicts("aaabcdefghi")) == {FINE}


def test_a_step_that_differs_ends_the_streak_and_the_next_one_gets_its_own_note() -> None:
    found = verdicts("aaaabaaaa")
    assert [place for place, verdict in enumerate(found) if verdict is NOTE] == [3, 8]
    assert PAUSE not in found


def test_the_turn_after_a_pause_is_stopped_where_it_goes_in_the_same_circle() -> None:
    assert verdicts("aaaaaa", after_a_pause("aaaaaa")) == [FINE, FINE, FINE, STOP]
    assert verdicts("babababa", after_a_pause("abababab"))[-1] is STOP


def test_the_turn_after_a_pause_is_noted_and_paused_for_another_circle() -> None:
    assert verdicts("bbbbbb", after_a_pause("aaaaaa")) == [FINE, FINE, FINE, NOTE, FINE, PAUSE]


def test_a_turn_that_ends_otherwise_leaves_nothing() -> None:
    count = after_a_pause("aaaaaa")
    assert count.over(paused=False) == RepetitionCount()


@pytest.mark.parametrize("steps", ["", "a", "aaa", "abab", "abcabc", "abcdefabcdefabcdef"])
def test_work_that_moves_is_left_alone(steps: str) -> None:
    assert set(verdicts(steps)) <= {FINE}


@given(st.text("abc", max_size=60))
@settings(max_examples=300, deadline=None)
def test_a_streak_has_one_note_and_no_turn_is_paused_without_it(steps: str) -> None:
    count, notes, streak = RepetitionCount(), 0, False
    for step in steps:
        count = count.after(step)
        notes = notes if streak and count.period else 0
        streak = bool(count.period)
        if count.verdict is NOTE:
            notes += 1
            count = count.told()
        assert notes <= 1
        assert count.verdict is not PAUSE or notes == 1
        assert count.verdict is not STOP


def test_only_as_many_steps_are_kept_as_are_needed() -> None:
    count = RepetitionCount()
    for step in range(100):
        count = count.after(str(step))
    assert len(count.steps) == ROUNDS * LONGEST_CYCLE


def test_equal_arguments_are_one_step_however_they_are_written() -> None:
    written = ['{"a": 1, "b": [1, 2]}', ' {"b":[1,2],\n"a":1} ']
    assert len({step_of([("tool", each, "same")]) for each in written}) == 1
    assert canonical("") == canonical(" {} ") == "{}"
    assert canonical(" {broken ") == "{broken"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([("tool", "{}", "1")], [("tool", "{}", "2")]),
        ([("tool", '{"a": [1, 2]}', "")], [("tool", '{"a": [2, 1]}', "")]),
        ([("tool", '{"a": 1}', "")], [("tool", '{"a": "1"}', "")]),
        ([("tool", '{"a": 18446744073709551616}', "")], [("tool", '{"a": 18446744073709551617}', "")]),
        ([("one", "{}", "")], [("other", "{}", "")]),
        ([("tool", "{}", "")], [("tool", "{}", ""), ("tool", "{}", "")]),
    ],
)
def test_steps_differ_in_their_tools_arguments_and_results(
    one: list[tuple[str, str, str]], other: list[tuple[str, str, str]]
) -> None:
    assert step_of(one) != step_of(other)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_the_canonical_form_is_one_for_each_value(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert canonical(json.dumps(value)) == canonical(json.dumps(turned, indent=2))
    assert json.loads(canonical(json.dumps(value))) == value


@given(st.text(max_size=200))
def test_whatever_a_model_writes_has_a_form(arguments: str) -> None:
    canonical(arguments)
