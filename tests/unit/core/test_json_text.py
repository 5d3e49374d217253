"""JSON from outside: all that JSON allows is taken, halves of characters too."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_sessions.core.json_text import TextJoiner, read_json, without_halves

ANY_TEXT = st.text(st.characters(), max_size=20)
"""With halves of surrogate pairs among it."""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"half \ud83d"', "half \ufffd"),
        (r'"\ude00 half"', "\ufffd half"),
        (r'{"a\ud83d": ["x\udc00", 1, null]}', {"a\ufffd": ["x\ufffd", 1, None]}),
        (r'"whole \ud83d\ude00"', "whole \U0001f600"),
        (rb'"bytes \uD83D"', "bytes \ufffd"),
        ("[1.5, true]", [1.5, True]),
    ],
)
def test_json_with_half_a_character_is_taken(text: str | bytes, value: object) -> None:
    assert read_json(text) == value


@pytest.mark.parametrize(
    "text", ["", "{", "nope", '"\\ud83d', '["\\ud83d", NaN]', '["\\ud83d", Infinity]', b'"\xff\\ud83d"']
)
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # its words are the parser's
        read_json(text)


def test_json_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="nested"):
        read_json("[" * 100_000 + '"\\ud83d"' + "]" * 100_000)


@given(ANY_TEXT)
def test_what_is_read_can_be_stored_as_utf8(text: str) -> None:
    found = read_json(json.dumps({text: [text]}))
    assert json.dumps(found, ensure_ascii=False).encode()
    assert found == {without_halves(text): [without_halves(text)]}


@given(st.lists(ANY_TEXT, max_size=6))
def test_a_streamed_text_is_told_as_the_whole_would_be(pieces: list[str]) -> None:
    told: list[str] = []
    joiner = TextJoiner(told.append)
    for piece in pieces:
        joiner.add(piece)
    joiner.end()
    assert "".join(told) == joiner.text == without_halves("".join(pieces))
