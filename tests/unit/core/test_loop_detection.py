"""Circles are noticed: one note for each streak, then an end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.core.limits import GRACE, REPEATS, LoopVerdict, RepetitionCount, check_repetition

FINE, NOTE, STOP = LoopVerdict


def verdicts(steps: str) -> list[LoopVerdict]:
    found, streak = [], RepetitionCount()
    for step in steps:
        streak, verdict = check_repetition(streak, step)
        found.append(verdict)
    return found


def test_the_same_step_again_and_again_is_noted_once_and_then_stopped() -> None:
    assert verdicts("aaaaaa") == [FINE, FINE, FINE, NOTE, FINE, STOP]
    assert (REPEATS, GRACE) == (4, 2)


def test_two_steps_in_turns_are_a_circle_too() -> None:
    assert verdicts("abababab") == [FINE] * 7 + [NOTE]
    assert verdicts("abababababa")[-1] is STOP


def test_a_step_that_differs_ends_the_streak_and_the_next_one_gets_its_own_note() -> None:
    found = verdicts("aaaabaaaa")
    assert [place for place, verdict in enumerate(found) if verdict is NOTE] == [3, 8]
    assert STOP not in found


@pytest.mark.parametrize("steps", ["", "a", "aaa", "aabbaabbaabb", "abcabcabcabc", "aaabaaabaaab"])
def test_work_that_moves_is_left_alone(steps: str) -> None:
    assert set(verdicts(steps)) <= {FINE}


@given(st.text("abc", max_size=40))
@settings(max_examples=150, deadline=None)
def test_nobody_is_stopped_without_a_note_before(steps: str) -> None:
    noted = False
    for place, verdict in enumerate(verdicts(steps)):
        if verdict is STOP:
            assert noted
            assert len(set(steps[place - REPEATS - GRACE + 1 : place + 1])) <= 2
        noted = noted or verdict is NOTE


def test_only_as_many_steps_are_kept_as_are_needed() -> None:
    streak = RepetitionCount()
    for step in range(100):
        streak, _ = check_repetition(streak, str(step))
    assert len(streak.steps) == 2 * REPEATS
