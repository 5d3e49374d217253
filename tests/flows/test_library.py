"""`from openhands_sessions import Agent, Session`: a program talks to an agent, against a real model server."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions import Session, SessionBusy, TurnFailed, TurnTimeout, tool
from openhands_sessions.adapters.models.litellm import LiteLlmModels
from openhands_sessions.core.errors import BadInput, BlockingCall
from openhands_sessions.sdk.private_loop import end_private_loop
from tests.support.model_replies import Call, Fault, FaultKind, Reply
from tests.support.program_sessions import ProgramSessions, program_sessions, said

LONG = 500
"""Seconds: loading litellm is work for a busy machine."""
pytestmark = [pytest.mark.timeout(LONG), pytest.mark.slow]


@pytest.fixture(scope="module")
def library_is_loaded() -> None:
    """Models are opened within a limit, which is not for loading litellm beside other work."""
    asyncio.run(_preload())


async def _preload() -> None:
    async with LiteLlmModels() as models:
        await models.preload()


@pytest.fixture
async def program(library_is_loaded: None, tmp_path: Path) -> AsyncIterator[ProgramSessions]:
    async with asyncio.timeout(LONG), program_sessions(tmp_path, []) as ready:
        yield ready


async def test_a_session_remembers_what_was_said_and_goes_on_when_it_is_opened_again(program: ProgramSessions) -> None:
    program.model.play([Reply(text="Hello."), Reply(text="You are Alice."), Reply(text="Still Alice.")])
    session = program.session("Gespräch: Ä/ö ../x")
    assert await asyncio.to_thread(session.chat, "My name is Alice") == "Hello."
    assert await session.achat("Who am I?") == "You are Alice."
    await session.aclose()
    again = program.session("Gespräch: Ä/ö ../x")
    assert await again.achat("And now?") == "Still Alice."
    expected = [
        ("user", "My name is Alice"),
        ("assistant", "Hello."),
        ("user", "Who am I?"),
        ("assistant", "You are Alice."),
        ("user", "And now?"),
        ("assistant", "Still Alice."),
    ]
    assert said(await again.aget_history()) == expected
    assert said(await asyncio.to_thread(again.get_history, 2)) == expected[-2:]
    third = (await again.aget_history())[2]
    assert said(await again.aget_history(after=third["id"])) == expected[3:]
    assert said(await again.aget_history(before=third["id"])) == expected[:2]
    asked = program.model.requests[2].messages
    assert asked[0]["content"] == "You are helper.\n\nBe brief."
    assert [message["role"] for message in asked if message["role"] != "system"].count("user") == 3
    assert program.model.titles == []


async def test_a_session_that_has_not_begun_is_empty_and_stays_unstored(program: ProgramSessions) -> None:
    session = program.session()
    assert await session.aget_history() == []
    assert await session.aevents() == []
    await session.acancel()
    assert await session.aevents() == []


async def test_a_function_is_called_with_checked_arguments_after_its_call_is_in_the_log(
    program: ProgramSessions,
) -> None:
    seen: list[tuple[str, int, str]] = []

    def weather(city: str, days: int = 1) -> dict[str, object]:
        """The weather.

        Args:
            city: where
        """
        inside = Session("my-id", agent=session.agent, store=program.store)
        kinds = [event.get("action") for event in inside.events()]
        seen.append((city, days, "call_tool_mcp" if "call_tool_mcp" in kinds else "not there"))
        return {"city": city, "degrees": [7] * days}

    async def fails(why: str) -> str:
        raise ValueError(why)

    program.model.play(
        [
            Reply(calls=[Call(name="weather", arguments={"city": "Ulm", "days": "many"})]),
            Reply(calls=[Call(name="weather", arguments={"city": "Ulm", "days": 2})]),
            Reply(calls=[Call(name="fails", arguments={"why": "no reason"})]),
            Reply(text="7 degrees."),
        ]
    )
    session = program.session("my-id", weather, fails)
    result = await session.arun("How is it in Ulm?")
    assert result.text == "7 degrees."
    assert seen == [("Ulm", 2, "call_tool_mcp")]
    schema = program.model.requests[0].body["tools"]
    assert [each["function"]["name"] for each in schema] == ["weather", "fails"]
    assert schema[0]["function"]["parameters"]["properties"]["city"]["description"] == "where"
    told = [message["content"] for message in program.model.requests[-1].messages if message["role"] == "tool"]
    assert told[0].startswith("Not called: days is wrong"), told
    assert told[1] == '{"city":"Ulm","degrees":[7,7]}'
    assert told[2] == "ValueError: no reason"
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (400, 80)
    assert [message["role"] for message in result.messages] == ["user", "assistant"]


async def test_a_function_cannot_wait_for_another_turn_of_its_own_session(program: ProgramSessions) -> None:
    def again() -> str:
        """Chat in a chat."""
        return session.chat("once more")

    program.model.play([Reply(calls=[Call(name="again", arguments={})]), Reply(text="Done.")])
    session = program.session("my-id", again)
    assert await session.achat("Go") == "Done."
    [told] = [message["content"] for message in program.model.requests[-1].messages if message["role"] == "tool"]
    assert told.startswith("SessionBusy: ")


async def test_a_key_that_comes_again_gives_the_recorded_turn_and_asks_no_model(program: ProgramSessions) -> None:
    program.model.play([Reply(text="One."), Reply(text="Two.")])
    session = program.session()
    first = await session.arun("Count", idempotency_key="k1")
    assert await session.achat("Count on") == "Two."
    await session.aclose()
    again = await program.session().arun("Count", idempotency_key="k1")
    assert (again.text, again.turn, again.usage) == ("One.", first.turn, first.usage)
    assert len(program.model.requests) == 2
    with pytest.raises(BadInput, match="another command"):
        await session.achat("Something else", idempotency_key="k1")


async def test_a_stream_gives_the_pieces_then_the_result(program: ProgramSessions) -> None:
    program.model.play([Reply(text="A text in several pieces.", piece=4), Reply(text="Another one.", piece=4)])
    session = program.session()
    items = [item async for item in session.astream("Go")]
    assert "".join(item.text for item in items if item.kind == "reply") == "A text in several pieces."
    assert items[-1].result is not None
    assert items[-1].result.text == "A text in several pieces."
    assert {event.event["turn"] for event in items if event.event is not None} == {items[-1].result.turn}
    by_thread = await asyncio.to_thread(lambda: [item.kind for item in session.stream("On")])
    assert by_thread[-1] == "result"
    assert "reply" in by_thread


async def test_leaving_a_stream_early_or_cancelling_a_chat_stops_the_turn(program: ProgramSessions) -> None:
    gate = asyncio.Event()
    slow = Reply(text="This takes long.", piece=4, gate=gate, gate_after=2)
    program.model.play([slow, slow, Reply(text="Quick.")])
    session = program.session()
    items = session.astream("Go")
    async for item in items:
        if item.kind == "reply":
            break
    await items.aclose()  # type: ignore[attr-defined]
    chat = asyncio.create_task(session.achat("Again"))
    await (await program.model.asked(2)).streaming.wait()
    chat.cancel()
    with pytest.raises(asyncio.CancelledError):
        await chat
    ends = [
        event["extras"]["stop_reason"] for event in await session.aevents() if event.get("observation") == "turn_ended"
    ]
    assert ends == ["stopped", "stopped"]
    assert await session.achat("And now?") == "Quick."


async def test_a_turn_that_ends_without_an_answer_says_why(program: ProgramSessions) -> None:
    program.model.play(
        [Fault(kind=FaultKind.UNAUTHORIZED), Reply(text="", calls=[Call(name="nope", arguments={})])] * 2
    )
    session = program.session(agent=program.agent(max_iterations=1))
    with pytest.raises(TurnFailed) as failed:
        await session.achat("Hello")
    assert failed.value.reason == "error"
    with pytest.raises(TurnFailed, match="maximum iterations") as failed:
        await session.achat("Hello")
    assert failed.value.reason == "max_iterations"


async def test_a_turn_that_takes_too_long_is_stopped(program: ProgramSessions) -> None:
    gate = asyncio.Event()
    program.model.play([Reply(text="Warm."), Reply(text="Never.", gate=gate)])
    assert await program.session().achat("Hello") == "Warm."
    hasty = program.session(turn_timeout=0.5)
    with pytest.raises(TurnTimeout):
        await hasty.achat("Hello")
    states = [event["extras"].get("stop_reason") for event in await hasty.aevents() if event.get("extras")]
    assert "stopped" in states or len(program.model.requests) == 1


async def test_messages_that_come_at_once_have_their_own_turns_or_are_refused(program: ProgramSessions) -> None:
    gate = asyncio.Event()
    program.model.play([Reply(text="First.", gate=gate), Reply(text="Second."), Reply(text="Third.")])
    session, strict = program.session(), program.session(concurrency="reject")
    first = asyncio.create_task(session.achat("one"))
    await program.model.asked(1)
    second = asyncio.create_task(session.achat("two"))
    with pytest.raises(SessionBusy):
        await strict.achat("three")
    gate.set()
    assert [await first, await second] == ["First.", "Second."]
    assert await strict.achat("three") == "Third."


async def test_a_sync_call_on_a_running_loop_names_its_twin(program: ProgramSessions) -> None:
    session = program.session()
    with pytest.raises(BlockingCall, match=r"await achat\(\)"):
        session.chat("Hello")

    async def inside() -> str:
        """A function on the sessions' own loop."""
        try:
            return str(session.get_history())
        except BlockingCall as error:
            return error.message

    program.model.play([Reply(calls=[Call(name="inside", arguments={})]), Reply(text="Done.")])
    assert await program.session("other", inside).achat("Go") == "Done."
    [told] = [message["content"] for message in program.model.requests[-1].messages if message["role"] == "tool"]
    assert "await aget_history()" in told


async def test_an_async_function_runs_on_the_loop_and_a_sync_one_in_a_thread(program: ProgramSessions) -> None:
    places: dict[str, str] = {}

    @tool(idempotent=True)
    def blocking() -> None:
        """Runs in a thread."""
        places["blocking"] = threading.current_thread().name

    async def awaiting() -> None:
        """Runs on the loop."""
        places["awaiting"] = threading.current_thread().name

    calls = [Call(name="blocking", arguments={}), Call(name="awaiting", arguments={})]
    program.model.play([Reply(calls=calls), Reply(text="Done.")])
    assert await program.session("my-id", blocking, awaiting).achat("Go") == "Done."
    assert places == {"blocking": "openhands-tool", "awaiting": "openhands-sessions"}


async def test_users_of_one_store_have_sessions_of_their_own_but_no_id_twice(program: ProgramSessions) -> None:
    program.model.play([Reply(text="Hello Ada."), Reply(text="Hello Bob.")])
    assert await program.session("one", user_id="ada").achat("Hi") == "Hello Ada."
    assert await program.session("two", user_id="bob").achat("Hi") == "Hello Bob."
    with pytest.raises(BadInput, match="session_id"):
        await program.session("one", user_id="bob").achat("Hi")


async def test_without_a_model_the_error_says_what_to_set(program: ProgramSessions) -> None:
    with pytest.raises(BadInput, match=r"Agent\(llm=\.\.\.\)"):
        await program.session(agent=program.agent(llm=None)).achat("Hello")


async def test_keys_of_an_agent_are_stored_nowhere(program: ProgramSessions) -> None:
    program.model.play([Reply(text="Your key is a-key-for-tests.")])
    assert await program.session().achat("What is my key?") == "Your key is <secret_hidden>."
    await program.session().aclose()
    files = [path for path in program.database.parent.rglob("*") if path.is_file()]
    assert program.database in files
    assert [path for path in files if b"a-key-for-tests" in path.read_bytes()] == []


async def test_closing_a_session_ends_its_turn_and_what_follows_it_goes_on_with_the_next(
    program: ProgramSessions,
) -> None:
    gate = asyncio.Event()
    program.model.play([Reply(text="Never.", gate=gate), Reply(text="Next.")])
    session = program.session()
    chat = asyncio.create_task(session.achat("one"))
    await program.model.asked(1)
    await session.aclose()
    with pytest.raises(TurnFailed):
        await chat
    assert await session.achat("two") == "Next."


async def test_the_end_of_the_process_ends_a_turn_that_another_thread_waits_for(program: ProgramSessions) -> None:
    gate = asyncio.Event()
    program.model.play([Reply(text="Never.", gate=gate)])
    chat = asyncio.create_task(program.session().achat("one"))
    await program.model.asked(1)
    await asyncio.to_thread(end_private_loop)
    with pytest.raises(TurnFailed):
        await chat
