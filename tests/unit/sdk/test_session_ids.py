"""Ids of programs' sessions, and those of their conversations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.ids import conversation_id
from openhands_sessions.sdk.session_ids import LONGEST, session_id, stored_id

IDS = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=LONGEST)


@given(IDS)
def test_every_allowed_id_is_stored_under_a_conversations_id(text: str) -> None:
    assert session_id(text) == text
    assert conversation_id(stored_id(text)) == stored_id(text)


@given(IDS, IDS)
def test_two_ids_never_share_a_conversation(one: str, other: str) -> None:
    taken = [one, other, stored_id(one), stored_id(other)]
    assert len({stored_id(text) for text in taken}) == len(set(taken))


def test_an_id_that_can_be_a_conversations_is_stored_as_it_is() -> None:
    assert stored_id("project_x-1") == "project_x-1"
    assert stored_id("../etc/passwd") != "../etc/passwd"


def test_forms_of_one_letter_are_different_ids() -> None:
    assert stored_id("\u00e4") != stored_id("a\u0308")


@pytest.mark.parametrize("wrong", ["", "x" * 201, "a\nb", "a\0b", "\x7f", "\ud800", None, 7])
def test_control_characters_and_wrong_lengths_are_refused(wrong: object) -> None:
    with pytest.raises(BadInput, match="session_id"):
        session_id(wrong)
