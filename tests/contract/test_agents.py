"""What every kind of agent promises to a turn."""

import orjson
import pytest

from openhands_sessions.adapters.agents.model_agent import ModelAgents
from openhands_sessions.adapters.agents.shell import ShellAgents
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.settings import merge
from openhands_sessions.ports.agent import AgentInput, Agents
from openhands_sessions.ports.model import ChatMessage
from tests.fakes.ledger import NotingLedger
from tests.fakes.model import FakeModel, FakeModels
from tests.support.session_harness import runs, says

SETTINGS = merge({"llm_model": "fake"})
ASKED = [MessageAction(id=EventId(4 + place), source=Source.USER, content=f"$ {place}") for place in range(3)]


@pytest.fixture(params=["shell", "model"])
def agents(request: pytest.FixtureRequest) -> Agents:
    if request.param == "shell":
        return ShellAgents()
    return ModelAgents(FakeModels(FakeModel([runs("0", "1", "2"), says("Done.")])))


async def test_every_message_is_taken_up_once_and_in_order(agents: Agents) -> None:
    waiting, said = ASKED, []
    messages: list[ChatMessage] = [{"role": "system", "content": "x"}]
    messages += [{"role": "user", "content": message.content} for message in ASKED]
    async with agents.open(SETTINGS, NotingLedger()) as agent:
        for _ in range(len(ASKED) + 1):
            briefing = AgentInput(messages=messages, tools=[], unanswered=waiting)
            reply = await agent.decide(briefing, lambda text: None, lambda retry: None)
            said += [orjson.loads(call.arguments)["command"] for call in reply.calls]
            if not reply.calls:
                break
            assert reply.answers is None or reply.answers in [message.id for message in waiting]
            waiting = [message for message in waiting if reply.answers is not None and message.id > reply.answers]
            messages.append(
                {"role": "assistant", "content": "", "tool_calls": [{"id": call.id} for call in reply.calls]}
            )
            messages += [{"role": "tool", "tool_call_id": call.id, "content": ""} for call in reply.calls]
    assert said == ["0", "1", "2"]
    assert reply.text
