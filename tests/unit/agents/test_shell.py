"""The agent without a model runs what follows `$ `, and says plainly what it is."""

import asyncio
from typing import Any

import orjson
import pytest

from openhands_sessions.adapters.agents.shell import WELCOME, ShellAgent, ShellAgents, command_of
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.agent import AgentInput
from openhands_sessions.ports.model import ModelReply


async def decide(*messages: dict[str, Any]) -> ModelReply:
    briefing = AgentInput(messages=[{"role": "system", "content": "x"}, *messages], tools=[])
    return await ShellAgent().decide(briefing, lambda text: None, lambda retry: None)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("content", "command"),
    [
        ("$ ls", "ls"),
        ("please:\n$ uname -a", "uname -a"),
        ("$ cat <<E\na\nE\n", "cat <<E\na\nE"),
        ("$ echo $ x", "echo $ x"),
        ("$   spaced  ", "spaced"),
        ([{"type": "text", "text": "$ ls"}, {"type": "image_url", "image_url": {"url": "x"}}], "ls"),
        ("costs 5$ a day", None),
        (" $ ls", None),
        ("$ls", None),
        ("$ ", None),
        ("$ \n  ", None),
        ("", None),
        (None, None),
        ([], None),
        ([{"type": "image_url"}], None),
    ],
)
def test_a_command_follows_the_sign_at_the_beginning_of_a_line(content: Any, command: str | None) -> None:
    assert command_of(user(content)) == command


async def test_a_command_is_run_by_the_ordinary_tool() -> None:
    reply = await decide(user("$ ls -la"))
    [call] = reply.calls
    assert (call.name, orjson.loads(call.arguments)) == ("execute_bash", {"command": "ls -la"})


async def test_it_waits_for_the_next_one_when_it_is_done() -> None:
    reply = await decide(user("$ ls"), {"role": "assistant", "tool_calls": []}, {"role": "tool", "content": "a"})
    assert (reply.calls, reply.text) == ((), "Done. What next?")


async def test_to_everything_else_it_says_that_no_model_is_configured() -> None:
    reply = await decide(user("Hello!"))
    assert (reply.calls, reply.text) == ((), WELCOME)
    assert "No model is configured" in WELCOME


async def test_each_reply_has_an_id_of_its_own() -> None:
    first = await decide(user("$ ls"))
    second = await decide(user("$ ls"), {"role": "tool", "content": "a"}, user("$ ls"))
    assert first.id != second.id
    assert first.calls[0].id != second.calls[0].id


async def test_it_needs_no_settings_and_cannot_sum_up() -> None:
    async with asyncio.timeout(20), ShellAgents().open(SessionSettings()) as agent:
        assert agent.model is None
        assert await agent.summarize([user("x")], "Sum up!") is None
