"""The settings name the agent, and without a model there is still one."""

from collections.abc import Mapping
from typing import Any

import pytest

from openhands_sessions.adapters.agents.model_agent import ModelAgents
from openhands_sessions.adapters.agents.shell import AgentChoice, ShellAgents
from openhands_sessions.core.errors import BadInput, ModelFailure
from openhands_sessions.core.settings import merge
from openhands_sessions.ports.agent import AgentInput
from tests.fakes.ledger import NotingLedger
from tests.fakes.model import FakeCall, FakeModel, FakeModels, FakeReply


def choice(*models: FakeModel) -> AgentChoice:
    return AgentChoice({"default": ModelAgents(FakeModels(*models)), "shell": ShellAgents()})


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "ShellAgent"),
        ({"agent": "shell"}, "ShellAgent"),
        ({"agent": "shell", "llm_model": "fake"}, "ShellAgent"),
        ({"llm_model": "fake"}, "ModelAgent"),
        ({"agent": "default", "llm_model": "fake"}, "ModelAgent"),
    ],
)
async def test_the_settings_name_the_agent(settings: Mapping[str, Any], name: str) -> None:
    async with choice(FakeModel([])).open(merge(settings), NotingLedger()) as agent:
        assert agent.name == name


async def test_an_unknown_agent_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'shell'"):
        async with choice().open(merge({"agent": "shel"}), NotingLedger()):
            pass


async def test_an_unknown_model_is_the_models_failure() -> None:
    with pytest.raises(ModelFailure):
        async with choice().open(merge({"llm_model": "gone"}), NotingLedger()):
            pass


async def test_a_model_is_opened_as_the_settings_say() -> None:
    models = FakeModels(FakeModel([]))
    settings = merge(
        {"llm_model": "fake", "llm_base_url": "https://x", "llm_api_key": "k", "llm_timeout": 7, "llm_retries": 0}
    )
    async with ModelAgents(models).open(settings, NotingLedger()) as agent:
        assert agent.model == "fake"
    [spec] = models.opened
    assert (spec.base_url, spec.api_key, spec.timeout, spec.retries) == ("https://x", "k", 7, 0)
    assert "k" not in repr(settings.llm_api_key)


async def test_the_models_reply_is_the_agents_decision() -> None:
    model = FakeModel([FakeReply(text="I look", calls=[FakeCall("execute_bash", {"command": "ls"})])])
    heard: list[str] = []
    async with ModelAgents(FakeModels(model)).open(merge({"llm_model": "fake"}), NotingLedger()) as agent:
        briefing = AgentInput(messages=[{"role": "user", "content": "go"}], tools=[{"type": "function"}])
        reply = await agent.decide(briefing, heard.append, lambda retry: None)
    assert (reply.text, reply.calls[0].name, "".join(heard)) == ("I look", "execute_bash", "I look")
    assert model.requests[0].messages == briefing.messages
    assert model.requests[0].tools == briefing.tools
