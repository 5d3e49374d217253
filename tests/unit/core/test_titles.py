"""What a conversation is called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_sessions.core.texts import LONGEST_BEGINNING, LONGEST_TITLE, MOST_WORDS, first_words, made_title


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Fix the flaky test", "Fix the flaky test"),
        ('**"Fix the flaky test."**\n\nI chose it because…', "Fix the flaky test"),
        ("\n\n# Title: Fix  the\tflaky test", "Fix the flaky test"),
        ("Fix **the** `flaky` _test_", "Fix the flaky test"),
        ("„Den wackligen Test beheben“", "Den wackligen Test beheben"),
        ("> ## ['Fix the test'](https://example.org/x)", "Fix the test"),
        ("Rename snake_case to 2*3", "Rename snake_case to 2*3"),
        ("Don't touch the user's test", "Don't touch the user's test"),
        ("", None),
        (' ""\n ***', None),
    ],
)
def test_a_models_answer_is_freed_of_what_is_around_it(answer: str, title: str | None) -> None:
    assert made_title(answer) == title


def test_a_title_has_at_most_six_words_and_fifty_characters() -> None:
    assert (MOST_WORDS, LONGEST_TITLE) == (6, 50)
    assert made_title("one two three four five six") == "one two three four five six"
    assert made_title("one two three four five six, seven") == "one two three four five six…"
    assert made_title("internationalisation " * 6) == "internationalisation internationalisation…"
    assert made_title("x" * 50) == "x" * 50
    assert made_title("x" * 500) == "x" * 49 + "…"


@given(st.text(max_size=300))
def test_whatever_a_model_answers_a_title_keeps_to_its_limits(answer: str) -> None:
    title = made_title(answer)
    assert title is None or (0 < len(title) <= LONGEST_TITLE and len(title.split()) <= MOST_WORDS)


def test_a_message_gives_its_first_forty_characters() -> None:
    assert LONGEST_BEGINNING == 40
    assert first_words("  make it\n\n fast ") == "make it fast"
    assert first_words("make it fast and small and then some more of it") == "make it fast and small and then some…"
    assert first_words("y" * 41) == "y" * 39 + "…"
    assert first_words(" \n") is None
