"""What the default agent asks its model for besides the next step."""

from typing import Any

import pytest

from openhands_sessions.adapters.agents.model_agent import TITLE_MESSAGE_CHARS, TITLE_PROMPT, ModelAgent
from openhands_sessions.core.events.own import CallPurpose
from openhands_sessions.core.history_form import NO_IMAGES
from openhands_sessions.ports.agent import AgentInput
from tests.fakes.ledger import NotingLedger
from tests.fakes.model import FakeModel, FakeReply

LOOK: dict[str, Any] = {
    "role": "user",
    "content": [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}},
    ],
}


async def test_a_title_is_asked_for_with_the_beginning_of_the_message() -> None:
    model = FakeModel([FakeReply(text="A name"), FakeReply(text="")])
    agent = ModelAgent(model, NotingLedger())
    assert await agent.title("x" * 10_000) == "A name"
    [request] = model.requests
    assert request.purpose is CallPurpose.TITLE
    assert request.tools == ()
    assert [message["content"] for message in request.messages] == [TITLE_PROMPT, "x" * TITLE_MESSAGE_CHARS]
    assert await agent.title("again") is None


@pytest.mark.parametrize("vision", [True, False])
async def test_images_of_the_past_go_to_models_that_can_look_at_them(vision: bool) -> None:
    model = FakeModel([FakeReply(text="I see")])
    model.vision = vision
    agent = ModelAgent(model, NotingLedger())
    assert agent.vision is vision
    plain = {"role": "user", "content": "plain"}
    await agent.decide(AgentInput(messages=[plain, LOOK], tools=()), lambda text: None, lambda retry: None)
    [request] = model.requests
    assert request.messages[0] == plain
    shown = LOOK if vision else {**LOOK, "content": [LOOK["content"][0], {"type": "text", "text": NO_IMAGES}]}
    assert request.messages[1] == shown
