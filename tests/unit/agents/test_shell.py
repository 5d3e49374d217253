"""The agent without a model runs what follows `$ `, and says plainly what it is."""

import asyncio

import orjson
import pytest

from openhands_sessions.adapters.agents.shell import DONE, WELCOME, ShellAgent, ShellAgents, command_of
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.agent import AgentInput
from openhands_sessions.ports.model import ChatMessage, ModelReply
from tests.fakes.ledger import NotingLedger


async def decide(*texts: str, begun: int = 0) -> ModelReply:
    """On messages with the numbers 10, 11 and so on, `begun` of which have a call already."""
    asked = [
        MessageAction(id=EventId(10 + place), source=Source.USER, content=text) for place, text in enumerate(texts)
    ]
    calls: list[ChatMessage] = [
        {"role": "assistant", "tool_calls": [{"id": f"shell-message-{10 + place}"}]} for place in range(begun)
    ]
    briefing = AgentInput(messages=[{"role": "system", "content": "x"}, *calls], tools=[], unanswered=asked)
    return await ShellAgent().decide(briefing, lambda text: None, lambda retry: None)


def command(reply: ModelReply) -> str:
    [call] = reply.calls
    assert call.name == "execute_bash"
    return str(orjson.loads(call.arguments)["command"])


@pytest.mark.parametrize(
    ("content", "command"),
    [
        ("$ ls", "ls"),
        ("please:\n$ uname -a", "uname -a"),
        ("$ cat <<E\na\nE\n", "cat <<E\na\nE"),
        ("$ echo $ x", "echo $ x"),
        ("$   spaced  ", "spaced"),
        ("costs 5$ a day", None),
        (" $ ls", None),
        ("$ls", None),
        ("$ ", None),
        ("$ \n  ", None),
        ("", None),
    ],
)
def test_a_command_follows_the_sign_at_the_beginning_of_a_line(content: str, command: str | None) -> None:
    assert command_of(content) == command


async def test_a_command_is_run_by_the_ordinary_tool() -> None:
    reply = await decide("$ ls -la")
    assert (command(reply), reply.answers) == ("ls -la", 10)


async def test_it_waits_for_the_next_one_when_it_is_done() -> None:
    reply = await decide()
    assert (reply.calls, reply.text, reply.answers) == ((), DONE, None)


@pytest.mark.parametrize("text", ["Hello!", ""])
async def test_to_everything_else_it_says_that_no_model_is_configured(text: str) -> None:
    reply = await decide(text)
    assert (reply.calls, reply.text, reply.answers) == ((), WELCOME, 10)
    assert "No model is configured" in WELCOME


async def test_the_oldest_message_is_taken_up_first() -> None:
    reply = await decide("$ one", "$ two")
    assert (command(reply), reply.answers) == ("one", 10)


async def test_messages_without_a_command_that_follow_each_other_are_answered_once() -> None:
    reply = await decide("Hello!", "Anybody?", "$ two")
    assert (reply.text, reply.answers) == (WELCOME, 11)


async def test_what_was_begun_before_a_restart_is_not_begun_again() -> None:
    reply = await decide("$ one", "$ two", "$ three", begun=2)
    assert (command(reply), reply.answers) == ("three", 12)
    assert (await decide("$ one", begun=1)).text == DONE


async def test_each_call_has_an_id_of_its_own() -> None:
    first, second = await decide("$ ls", "$ ls"), await decide("$ ls", "$ ls", begun=1)
    assert first.calls[0].id != second.calls[0].id


async def test_it_needs_no_settings_and_cannot_sum_up() -> None:
    async with asyncio.timeout(20), ShellAgents().open(SessionSettings(), NotingLedger()) as agent:
        assert agent.model is None
        assert await agent.summarize([{"role": "user", "content": "x"}], "Sum up!") is None
