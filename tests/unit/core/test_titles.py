"""What a conversation is called."""

import pytest

from openhands_sessions.core.texts import LONGEST_TITLE, first_words, made_title


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Fix the flaky test", "Fix the flaky test"),
        ('**"Fix the flaky test."**\n\nI chose it because…', "Fix the flaky test"),
        ("\n\n# Title: Fix  the\tflaky test", "Fix the flaky test"),
        ("", None),
        (' ""\n ***', None),
    ],
)
def test_a_models_answer_is_freed_of_what_is_around_it(answer: str, title: str | None) -> None:
    assert made_title(answer) == title


def test_a_long_title_ends_between_words() -> None:
    title = made_title("word " * 100)
    assert title is not None
    assert title == "word " * 10 + "word…"
    assert len(title) <= LONGEST_TITLE
    assert len(made_title("x" * 500) or "") == LONGEST_TITLE


def test_a_message_gives_its_first_words() -> None:
    assert first_words("  make it\n\n fast ") == "make it fast"
    assert first_words(" \n") is None
