"""The shell agent takes up every message once, in the order in which they came."""

import asyncio
from collections.abc import Sequence

import pytest

from openhands_sessions.adapters.agents.shell import DONE, WELCOME
from openhands_sessions.core.commands import Answer, Pause, Resume, SendMessage, Stop
from openhands_sessions.core.events.actions import MessageAction, RunAction
from openhands_sessions.core.events.event import ConfirmationState, Source
from openhands_sessions.core.events.observations import NOT_RUN_ID, ErrorObservation
from openhands_sessions.core.repetition import REPEATS
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.idempotency import IdempotencyKey
from tests.fakes.memory_store import open_memory
from tests.fakes.model import FakeModel
from tests.fakes.runtime import FakeRuntimes
from tests.fakes.sandbox import FarRuntimes
from tests.fakes.store import MortalStore
from tests.support.session_harness import LONG, SessionHarness, ask, only, say, state, until
from tests.support.store_entries import TALK, row

FIVE = ("one", "two", "three", "four", "five")


def scene(store: SessionStore, gate: asyncio.Event | None = None, *, asks: bool = False) -> SessionHarness:
    runtimes = FakeRuntimes({"wait": ("", 0)}, {} if gate is None else {"wait": gate})
    settings = {"agent": "shell", "confirmation_mode": asks}
    return SessionHarness(store=store, model=FakeModel([]), runtimes=runtimes, settings=settings)


async def commands(harness: SessionHarness) -> list[str]:
    """Those that were agreed to, in order."""
    actions = only(await harness.events(), RunAction)
    return [action.command for action in actions if action.confirmation_state is ConfirmationState.CONFIRMED]


async def answers(harness: SessionHarness) -> list[str]:
    said = only(await harness.events(), MessageAction)
    return [message.content for message in said if message.source is Source.AGENT]


async def begun(session: AgentSession, command: str) -> None:
    await until(session, lambda event: isinstance(event, RunAction) and event.command == command)


async def say_all(session: AgentSession, texts: Sequence[str]) -> None:
    for text in texts:
        await say(session, text)


async def over(session: AgentSession) -> None:
    """Wait until the newest message is answered."""
    await state(session, "awaiting_user_input", session.event_stream.view.last_message)


async def test_five_messages_in_a_row_are_run_in_order(store: SessionStore) -> None:
    harness = scene(store)
    async with harness.live() as session:
        await asyncio.gather(*(say(session, f"$ {word}") for word in FIVE))
        await over(session)
    assert await commands(harness) == list(FIVE)
    assert await answers(harness) == [DONE]


async def test_what_is_said_while_a_command_runs_is_run_behind_it(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, gate)
    async with harness.live() as session:
        await say(session, "$ wait")
        await begun(session, "wait")
        await say_all(session, ("$ one", "$ two", "$ three"))
        gate.set()
        await over(session)
        await ask(session, "$ four")
    assert await commands(harness) == ["wait", "one", "two", "three", "four"]


async def test_what_was_said_before_a_stop_is_not_run(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, gate)
    async with harness.live() as session:
        await say_all(session, ("$ wait", "$ one", "$ two"))
        await begun(session, "wait")
        await session.submit(Stop())
        await ask(session, "$ three")
        assert await commands(harness) == ["wait", "three"]
        await session.submit(Stop())
        resumed = await session.submit(Resume())
        await state(session, "awaiting_user_input", resumed.id)
    assert await commands(harness) == ["wait", "three"]


async def test_what_waits_when_the_agent_is_paused_is_run_when_it_goes_on(
    store: SessionStore, gate: asyncio.Event
) -> None:
    harness = scene(store, gate)
    async with harness.live() as session:
        await say_all(session, ("$ wait", "$ one", "$ two"))
        await begun(session, "wait")
        await session.submit(Pause())
        resumed = await session.submit(Resume())
        await state(session, "awaiting_user_input", resumed.id)
    assert await commands(harness) == ["wait", "one", "two"]


@pytest.mark.parametrize("text", ["", "hello"])
async def test_messages_without_a_command_are_answered_where_they_stand(store: SessionStore, text: str) -> None:
    harness = scene(store)
    async with harness.live() as session:
        await asyncio.gather(*(say(session, each) for each in ("$ one", text, text, "$ two")))
        await over(session)
    assert await commands(harness) == ["one", "two"]
    assert await answers(harness) == [WELCOME, DONE]


async def test_equal_commands_are_run_each_time(store: SessionStore) -> None:
    count = 2 * REPEATS
    harness = scene(store)
    async with harness.live() as session:
        await asyncio.gather(*(say(session, "$ one") for _ in range(count)))
        await over(session)
    assert await commands(harness) == ["one"] * count


async def test_more_messages_than_a_turn_may_have_model_calls_are_run(store: SessionStore) -> None:
    harness = scene(store)
    harness.settings["max_iterations"] = 3
    async with harness.live() as session:
        await asyncio.gather(*(say(session, f"$ {word}") for word in FIVE))
        await over(session)
    assert await commands(harness) == list(FIVE)


async def test_what_waits_is_not_forgotten_with_the_beginning_of_a_long_log(
    store: SessionStore, gate: asyncio.Event
) -> None:
    harness = scene(store, gate)
    harness.settings["condenser_max_size"] = 20
    texts = [f"$ {number}" for number in range(60)]
    async with harness.live() as session:
        await say(session, "$ wait")
        await begun(session, "wait")
        await say_all(session, texts)
        gate.set()
        await over(session)
        await ask(session, "$ last")
    assert await commands(harness) == ["wait", *(text[2:] for text in texts), "last"]


@pytest.mark.parametrize("confirmed", [True, False], ids=["agreed", "rejected"])
async def test_an_answer_leaves_the_next_message_waiting(store: SessionStore, confirmed: bool) -> None:
    harness = scene(store, asks=True)
    asked = "awaiting_user_confirmation"
    async with harness.live() as session:
        await asyncio.gather(*(say(session, f"$ rm {word}") for word in FIVE))
        head = -1
        for _ in FIVE:
            await state(session, asked, head)
            head = (await session.submit(Answer(confirmed=confirmed))).id
        await state(session, "awaiting_user_input", head)
    asked_for = [
        action.command
        for action in only(await harness.events(), RunAction)
        if action.confirmation_state is ConfirmationState.AWAITING
    ]
    assert asked_for == [f"rm {word}" for word in FIVE]
    assert await commands(harness) == (asked_for if confirmed else [])


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "not stored"])
@pytest.mark.slow
async def test_a_server_that_dies_at_any_append_runs_each_command_once(stored: bool) -> None:
    at, died = 0, True
    while died:
        async with open_memory() as memory:
            await memory.conversations.create(row(TALK))
            harness = scene(memory)
            died = await dies(harness, MortalStore(memory, dies_at=at, stored=stored))
            async with harness.live() as session:
                await send(session)
                await over(session)
            assert await commands(harness) == [f"echo {word}" for word in FIVE]
        at += 1
    assert at > len(FIVE)


async def send(session: AgentSession) -> None:
    given = [(SendMessage(content=f"$ echo {word}"), IdempotencyKey(word, "digest")) for word in FIVE]
    for command, key in given:
        await session.submit(command, key)


async def dies(harness: SessionHarness, store: MortalStore) -> bool:
    """A server's life that ends at an append, or with the last message run. False where it did not die."""
    session = harness.new_session(store)

    async def talk() -> None:
        await send(session)
        await over(session)

    life, talking = asyncio.create_task(session.run()), asyncio.create_task(talk())
    dying = asyncio.create_task(store.dead.wait())
    async with asyncio.timeout(LONG):
        await asyncio.wait({talking, dying}, return_when=asyncio.FIRST_COMPLETED)
    for task in (life, talking, dying):
        task.cancel()
    store.bury()
    await asyncio.wait({life, talking, dying})
    return store.dead.is_set()


async def test_what_waits_is_run_although_the_sandbox_is_lost_when_the_first_is_agreed_to(store: SessionStore) -> None:
    runtimes = FarRuntimes(FakeRuntimes())
    settings = {"agent": "shell", "confirmation_mode": True}
    harness = SessionHarness(store=store, model=FakeModel([]), runtimes=runtimes, settings=settings)
    asked, head = "awaiting_user_confirmation", -1
    async with harness.live() as session:
        await asyncio.gather(*(say(session, f"$ echo {word}") for word in FIVE))
        for word in FIVE:
            await state(session, asked, head)
            if word == "one":
                runtimes.cut.set()
            head = (await session.submit(Answer(confirmed=True))).id
            if word == "one":
                await state(session, "error", head)
                runtimes.cut.clear()
        await state(session, "awaiting_user_input", head)
    assert await commands(harness) == [f"echo {word}" for word in FIVE]
    assert [error.error_id for error in only(await harness.events(), ErrorObservation)] == [NOT_RUN_ID]
