"""Images are for models that can look at them; others refuse them before anything is recorded."""

import pytest

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.setup import InitialInput
from tests.fakes.model import FakeModel
from tests.support.session_harness import SessionHarness, ask, only, say, says, state

PICTURE = "data:image/png;base64,AAAA"


async def pictures() -> list[str]:
    return [PICTURE]


async def test_a_model_that_sees_is_shown_the_image(store: SessionStore) -> None:
    model = FakeModel([says("A cat.")])
    async with SessionHarness(store=store, model=model).live() as session:
        await session.submit(SendMessage(content="what is it?", image_urls=(PICTURE,)))
        request = await model.asked(1)
        assert request.messages[-1]["content"] == [
            {"type": "text", "text": "what is it?"},
            {"type": "image_url", "image_url": {"url": PICTURE}},
        ]


async def test_a_model_that_does_not_see_refuses_the_message_and_goes_on_without_it(store: SessionStore) -> None:
    harness = SessionHarness(store=store, model=FakeModel([says("Hello.")]))
    harness.model.vision = False
    async with harness.live() as session:
        with pytest.raises(BadInput, match="cannot be looked at") as refused:
            await session.submit(SendMessage(content="what is it?", image_urls=(PICTURE,)))
        assert refused.value.field == "image_urls"
        await ask(session, "then without")
    [said] = [message for message in only(await harness.events(), MessageAction) if message.source == "user"]
    assert said.content == "then without"


async def test_a_conversation_that_begins_with_an_image_says_that_it_was_not_taken(store: SessionStore) -> None:
    harness = SessionHarness(
        store=store, model=FakeModel([says("Hello.")]), opening=InitialInput(message="look", images=pictures)
    )
    harness.model.vision = False
    async with harness.live() as session:
        await state(session, "error")
        await say(session, "then without")
        await state(session, "awaiting_user_input")
    events = await harness.events()
    [failed] = [each for each in only(events, AgentStateChangedObservation) if each.agent_state == "error"]
    assert "cannot be looked at" in failed.reason
    assert not [message for message in only(events, MessageAction) if message.image_urls]
