"""Ids that come from outside, and names made from them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.ids import ConversationId, EventId, action_key, conversation_id, folder_name


@pytest.mark.parametrize("text", ["a", "0", "d1bc5855117044669497ffa4efd484f0", "A_b-9", "x" * 64])
def test_letters_digits_dashes_and_underscores_make_an_id(text: str) -> None:
    assert conversation_id(text) == text


@pytest.mark.parametrize(
    "text", ["", "-a", "_a", "a/b", "..", "a.b", "a b", "a\n", "x" * 65, "é", "٣", None, 7, ["a"], "a\0"]
)
def test_everything_else_is_refused(text: object) -> None:
    with pytest.raises(BadInput) as refused:
        conversation_id(text)
    assert refused.value.field == "conversation_id"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_folder_name_is_never_a_path(text: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", folder_name(ConversationId(text)))


def test_actions_of_all_conversations_have_names_of_their_own() -> None:
    names = {action_key(ConversationId(sid), EventId(number)) for sid in ("a", "b", "A") for number in range(12)}
    assert len(names) == 36
