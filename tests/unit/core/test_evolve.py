"""A copy with other values is what `dataclasses.replace` makes of it."""

from dataclasses import fields, replace

import pytest

from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.view import ConversationView


def test_a_copy_has_the_changes_and_all_else_as_it_was() -> None:
    said = MessageAction(source=Source.USER, content="hello", image_urls=("data:,",))
    assert evolve(said, id=EventId(7)) == replace(said, id=EventId(7))
    assert said.id != 7


@pytest.mark.parametrize("name", [field.name for field in fields(ConversationView)])
def test_every_field_of_the_view_can_be_changed(name: str) -> None:
    view = ConversationView()
    assert evolve(view, **{name: "other"}) == replace(view, **{name: "other"})  # type: ignore[arg-type]  # any name


def test_a_name_that_is_no_field_is_refused() -> None:
    with pytest.raises(KeyError, match="heads"):
        evolve(ConversationView(), heads=1)
