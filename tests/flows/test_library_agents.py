"""What an `Agent` may have: MCP servers, and other agents."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions import Session
from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.core.errors import BadInput, UnknownAgent
from openhands_sessions.sdk.session_ids import stored_id
from tests.support.mcp_server import PROGRAM, served
from tests.support.model_replies import Call, Reply
from tests.support.program_sessions import ProgramSessions, program_sessions

LONG = 500
pytestmark = [pytest.mark.timeout(LONG), pytest.mark.slow]


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[ProgramSessions]:
    async with asyncio.timeout(LONG), program_sessions(tmp_path, []) as ready:
        yield ready


async def test_an_agent_calls_tools_of_mcp_servers_beside_its_functions(
    program: ProgramSessions, free_port: int
) -> None:
    def double(number: int) -> int:
        """Twice the number."""
        return 2 * number

    calls = [Call(name="double", arguments={"number": 4}), Call(name="ADD", arguments={"first": 20, "second": 22})]
    async with served(free_port) as url:
        agent = program.agent(double, mcp_servers={"shttp_servers": [{"url": url, "api_key": "key-of-a-server"}]})
        program.model.play([Reply(text="Ready."), Reply(calls=calls), Reply(text="Done.")])
        session = program.session(agent=agent)
        assert await session.achat("Hello") == "Ready."
        names = [each["function"]["name"] for each in program.model.requests[0].body["tools"]]
        [add] = [name for name in names if name.endswith("_add")]
        calls[1] = Call(name=add, arguments={"first": 20, "second": 22})
        assert names[0] == "double"
        result = await session.arun("Add")
    assert result.text == "Done."
    told = [message["content"] for message in program.model.requests[-1].messages if message["role"] == "tool"]
    assert told == ["8", "42"]
    await session.aclose()
    files = [path for path in program.database.parent.rglob("*") if path.is_file()]
    assert [path for path in files if b"key-of-a-server" in path.read_bytes()] == []


async def test_a_server_of_an_agent_that_is_a_program_runs_in_its_sandbox(
    program: ProgramSessions, tmp_path: Path
) -> None:
    small = {"name": "small", "command": sys.executable, "args": ["-P", str(PROGRAM), "stdio"]}
    servers = {"stdio_servers": [small]}
    add = Call(name="mcp_small_add", arguments={"first": 1, "second": 2})
    program.model.play([Reply(calls=[add]), Reply(text="3")])
    session = program.session(agent=program.agent(sandbox=True, mcp_servers=servers))
    assert await session.achat("Add") == "3"
    told = [message["content"] for message in program.model.requests[-1].messages if message["role"] == "tool"]
    assert told == ["3"]
    await session.aclose()
    await LocalRuntimes(tmp_path / "x.db.files" / "runtimes").discard(stored_id("my-id"))
    with pytest.raises(BadInput, match=r"sandbox=True"):
        await program.session("other", agent=program.agent(mcp_servers=servers)).achat("Add")


async def test_servers_that_cannot_be_are_refused_and_one_that_is_away_is_told(program: ProgramSessions) -> None:
    with pytest.raises(BadInput, match="'shttp_servers'"):
        await program.session(agent=program.agent(mcp_servers={"http_servers": []})).achat("Hello")
    with pytest.raises(BadInput, match=r"shttp_servers\.0"):
        await program.session(agent=program.agent(mcp_servers={"shttp_servers": ["ftp://x"]})).achat("Hello")
    program.model.play([Reply(text="Hello.")])
    away = program.session(agent=program.agent(mcp_servers={"shttp_servers": ["http://127.0.0.1:9/mcp"]}))
    assert await away.achat("Hello") == "Hello."
    [problem] = [event for event in await away.aevents() if event.get("observation") == "error"]
    assert problem["content"].startswith("The MCP server 127.0.0.1 is not used")


def prompts(program: ProgramSessions, number: int = -1) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in program.model.requests[number].messages]


def pair(program: ProgramSessions, *tools: Callable[..., Any], **given: Any) -> Session:
    """A session of two agents; the writer has the tools."""
    agents = {
        "writer": program.agent(*tools, name="Wilma", instructions="Write."),
        "critic": program.agent(name="Carl", instructions="Judge."),
    }
    return Session("pair", agents=agents, store=program.store, **given)


def look(at: str) -> str:
    """Look at something."""
    return f"a picture of {at}"


async def test_two_agents_share_what_is_said_and_their_answers_but_no_tools(program: ProgramSessions) -> None:
    program.model.play(
        [
            Reply(calls=[Call(name="look", arguments={"at": "Ulm"})]),
            Reply(text="Ulm is nice."),
            Reply(text="Too short."),
            Reply(text="Ulm is very nice."),
        ]
    )
    session = pair(program, look)
    assert await session.achat("Write about Ulm") == "Ulm is nice."
    result = await session.arun_agent("critic", "Judge it")
    assert (result.text, result.messages[-1]["agent"]) == ("Too short.", "critic")
    seen = prompts(program, 2)
    assert seen[0][1].startswith("You are Carl.\n\nJudge.\n\nYou are the agent critic. ")
    assert seen[1:] == [
        ("user", "[To the agent 'writer']\nWrite about Ulm"),
        ("user", "[The agent 'writer' answered]\nUlm is nice."),
        ("user", "Judge it"),
    ]
    assert program.model.requests[2].body.get("tools", []) == []
    await session.aclose()
    again = pair(program, look)
    assert await again.achat("Better", agent="writer") == "Ulm is very nice."
    assert [role for role, _ in prompts(program)] == ["system", "user", "assistant", "tool", "assistant", *["user"] * 3]
    assert prompts(program)[-2] == ("user", "[The agent 'critic' answered]\nToo short.")
    spoken = [(message["role"], message["agent"]) for message in await again.aget_history()]
    writer, critic = [("user", None), ("assistant", "writer")], [("user", None), ("assistant", "critic")]
    assert spoken == [*writer, *critic, *writer]
    events = await again.aevents()
    assert {event["agent_name"] for event in events if event.get("turn") is not None} == {"writer", "critic"}
    assert [event["agent_name"] for event in events if event.get("action") == "system"] == ["writer", "critic"]


async def test_agents_with_full_visibility_are_told_of_each_others_tool_calls(program: ProgramSessions) -> None:
    program.model.play(
        [Reply(calls=[Call(name="look", arguments={"at": "Ulm"})]), Reply(text="Nice."), Reply(text="I see.")]
    )
    session = pair(program, look, visibility="full")
    await session.achat("Write")
    await session.achat("Judge it", agent="critic")
    assert [text for _, text in prompts(program)[2:4]] == [
        """[The agent 'writer' called look({"at": "Ulm"})]""",
        "[The agent 'writer' got the result]\na picture of Ulm",
    ]


async def test_messages_for_two_agents_at_once_have_turns_of_their_own(program: ProgramSessions) -> None:
    gate = asyncio.Event()
    program.model.play([Reply(text="Written.", gate=gate), Reply(text="Judged.")])
    session = pair(program)
    first = asyncio.create_task(session.achat("Write"))
    await program.model.asked(1)
    second = asyncio.create_task(session.arun_agent("critic", "Judge"))
    gate.set()
    assert await first == "Written."
    assert (await second).messages[-1]["agent"] == "critic"
    assert "Judge." in prompts(program)[0][1]


async def test_an_agent_that_is_not_there_is_a_key_error_with_the_names(program: ProgramSessions) -> None:
    with pytest.raises(KeyError, match="there are: writer, critic"):
        await pair(program).arun_agent("nope", "Hello")
    with pytest.raises(UnknownAgent, match="needs no name"):
        await program.session().achat("Hello", agent="writer")
    with pytest.raises(BadInput, match="give one of both"):
        Session(agent=program.agent(), agents={"a": program.agent()})
    with pytest.raises(BadInput, match="'no name'"):
        Session(agents={"no name": program.agent()})
    assert program.model.requests == []


async def test_an_agent_is_asked_as_a_tool_in_a_session_of_its_own(program: ProgramSessions) -> None:
    expert = program.agent(look, name="Rhine expert", instructions="Know the Rhine.")
    asked = Call(name="ask_Rhine_expert", arguments={"task": "How long is the Rhine?"})
    program.model.play(
        [
            Reply(calls=[Call(name="ask_Rhine_expert", arguments={"task": ""})]),
            Reply(calls=[asked]),
            Reply(calls=[Call(name="look", arguments={"at": "Rhine"})]),
            Reply(text="1233 km."),
            Reply(text="It is 1233 km long."),
        ]
    )
    session = program.session(agent=program.agent(tools=[expert.as_tool()]))
    assert await session.achat("How long is it?") == "It is 1233 km long."
    assert prompts(program, 2)[1:] == [("user", "How long is the Rhine?")]
    events = await session.aevents()
    [delegated] = [event for event in events if event.get("action") == "delegate"]
    assert delegated["args"]["agent"] == "Rhine expert"
    assert delegated["args"]["inputs"] == {"task": "How long is the Rhine?"}
    [answer] = [event for event in events if event.get("observation") == "delegate"]
    assert (answer["cause"], answer["content"]) == (delegated["id"], "1233 km.")
    assert [text for role, text in prompts(program) if role == "tool"][1] == "1233 km."
    assert not any(event.get("action") == "call_tool_mcp" for event in events)


async def test_an_agent_that_fails_as_a_tool_is_told_to_the_one_that_asked(program: ProgramSessions) -> None:
    expert = program.agent(name="expert", max_iterations=1)
    nope = Reply(calls=[Call(name="nope", arguments={})])
    program.model.play([Reply(calls=[Call(name="ask_it", arguments={"task": "Try"})]), nope, Reply(text="It failed.")])
    session = program.session(agent=program.agent(tools=[expert.as_tool(name="ask_it")]))
    assert await session.achat("Go") == "It failed."
    [told] = [text for role, text in prompts(program) if role == "tool"]
    assert told.startswith("TurnFailed: ")


async def test_an_agent_hands_its_turn_over_and_the_other_one_answers(program: ProgramSessions) -> None:
    seller = program.agent(name="Sales person", instructions="Sell.")
    front = program.agent(look, name="front", instructions="Greet.", handoffs=[seller])
    calls = [
        Call(name="transfer_to_Sales_person", arguments={"task": "Wants a boat."}),
        Call(name="look", arguments={"at": "harbour"}),
    ]
    program.model.play([Reply(calls=calls), Reply(text="Here is a boat."), Reply(text="Anything else?")])
    session = program.session(agent=front)
    result = await session.arun("A boat, please")
    assert (result.text, result.messages[-1]["agent"]) == ("Here is a boat.", "Sales_person")
    seen = prompts(program, 1)
    assert "Sell." in seen[0][1]
    assert seen[1:] == [
        ("user", "[To the agent 'front']\nA boat, please"),
        ("user", "[The agent 'front' hands over to you]\nWants a boat."),
    ]
    assert await session.achat("Thanks") == "Anything else?"
    own = prompts(program)
    assert [role for role, _ in own] == ["system", "user", "assistant", "tool", "tool", "user", "user"]
    assert own[4][1] == "a picture of harbour"
    events = await session.aevents()
    [over] = [event for event in events if event.get("observation") == "handed_over"]
    assert (over["agent_name"], over["extras"]["agent"]) == ("front", "Sales_person")
    assert next(event["id"] for event in events if event.get("observation") == "turn_ended") > over["id"]
