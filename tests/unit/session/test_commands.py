"""Commands take effect once, in order, and are answered when they are durable."""

import asyncio

import pytest

from openhands_sessions.core.commands import Answer, Pause, Resume, SendMessage, Stop
from openhands_sessions.core.errors import BadInput, NotAccepting, StorageError
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.command_loop import WAITING_COMMANDS
from openhands_sessions.session.idempotency import IdempotencyKey
from openhands_sessions.session.setup import InitialInput
from tests.fakes.model import FakeModel, FakeReply
from tests.support.session_harness import LONG, SessionHarness, ask, only, rest, runs, say, says, state
from tests.support.store_entries import TALK, entries


def scene(store: SessionStore, *replies: FakeReply) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies))


async def users_words(harness: SessionHarness) -> list[str]:
    return [said.content for said in only(await harness.events(), MessageAction) if said.source is Source.USER]


async def test_commands_before_ready_wait_and_keep_their_order(store: SessionStore) -> None:
    harness = scene(store, says("All three."))
    session = harness.new_session()
    waiting = [asyncio.create_task(say(session, text)) for text in ("one", "two", "three")]
    await rest()
    assert session.state is SessionState.CREATED
    life = asyncio.create_task(session.run())
    accepted = await asyncio.gather(*waiting)
    await state(session, "awaiting_user_input", accepted[-1].id)
    await session.close("shutdown")
    await life
    assert await users_words(harness) == ["one", "two", "three"]
    assert [one.id for one in accepted] == sorted(one.id for one in accepted)
    assert len(harness.model.requests) == 1


async def test_the_answer_is_the_id_of_the_first_event(store: SessionStore) -> None:
    harness = scene(store, says("a"))
    async with harness.live() as session:
        accepted = await say(session, "hi")
        assert (await session.event_stream.event(accepted.id)).describe() == "hi"


async def test_images_and_files_are_kept_with_the_message(store: SessionStore) -> None:
    harness = scene(store, says("a"))
    async with harness.live() as session:
        await session.submit(SendMessage(content="look", image_urls=("data:x",), file_urls=("/workspace/a",)))
    [said] = [event for event in only(await harness.events(), MessageAction) if event.source is Source.USER]
    assert (said.image_urls, said.file_urls) == (("data:x",), ("/workspace/a",))


async def test_the_same_key_again_gives_the_same_answer_and_does_nothing(store: SessionStore) -> None:
    harness = scene(store, says("a"), says("b"))
    keyed = IdempotencyKey("k1", "digest")
    async with harness.live() as session:
        first = await session.submit(SendMessage(content="hi"), keyed)
        await state(session, "awaiting_user_input", first.id)
        again = await session.submit(SendMessage(content="hi"), keyed)
        more, key = SendMessage(content="more"), IdempotencyKey("k2", "d")
        twice = await asyncio.gather(*[session.submit(more, key) for _ in range(5)])
    async with harness.live() as session:
        later = await session.submit(SendMessage(content="hi"), keyed)
    assert first == again == later
    assert len({one.id for one in twice}) == 1
    assert await users_words(harness) == ["hi", "more"]


async def test_a_key_for_something_else_is_refused(store: SessionStore) -> None:
    harness = scene(store, says("a"))
    async with harness.live() as session:
        await session.submit(SendMessage(content="hi"), IdempotencyKey("k", "one"))
        with pytest.raises(BadInput) as refused:
            await session.submit(SendMessage(content="bye"), IdempotencyKey("k", "two"))
        assert refused.value.field == "key"
    assert await users_words(harness) == ["hi"]


async def test_stops_have_keys_too(store: SessionStore) -> None:
    harness = scene(store, says("a"))
    async with harness.live() as session:
        await ask(session, "hi")
        first = await session.submit(Stop(), IdempotencyKey("k", "d"))
        head = session.event_stream.view.head
        assert await session.submit(Stop(), IdempotencyKey("k", "d")) == first
        assert session.event_stream.view.head == head


async def test_a_caller_who_leaves_takes_nothing_back(store: SessionStore) -> None:
    harness = scene(store, says("a"))
    async with harness.live() as session:
        leaving = asyncio.create_task(session.submit(SendMessage(content="hi")))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        await state(session, "awaiting_user_input", 3)
    assert await users_words(harness) == ["hi"]


async def test_only_so_many_commands_wait(store: SessionStore) -> None:
    session = scene(store).new_session()
    waiting = [asyncio.create_task(session.submit(SendMessage(content="x"))) for _ in range(WAITING_COMMANDS)]
    await rest()
    with pytest.raises(NotAccepting, match="too many"):
        await session.submit(Stop())
    await session.close("stopped")
    refused = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(one) for one in refused} == {NotAccepting}


@pytest.mark.parametrize("command", [Resume(), Answer(confirmed=True), Answer(confirmed=False, action=EventId(3))])
async def test_what_makes_no_sense_now_is_refused_and_changes_nothing(
    store: SessionStore, command: Resume | Answer
) -> None:
    harness = scene(store, says("a"))
    async with harness.live() as session:
        await ask(session, "hi")
        before = await harness.told()
        with pytest.raises(NotAccepting):
            await session.submit(command)
        assert await harness.told() == before
        assert session.state is SessionState.READY


async def test_a_stopped_agent_resumes(store: SessionStore) -> None:
    harness = scene(store, says("a"), says("b"))
    async with harness.live() as session:
        await ask(session, "hi")
        await session.submit(Pause())
        accepted = await session.submit(Resume())
        await state(session, "awaiting_user_input", accepted.id)
    told = await harness.told()
    assert told[told.index("state paused") :] == [
        "state paused",
        "user -> running",
        "state running",
        "agent: b",
        "turn ended: waiting",
        "state awaiting_user_input",
    ]


async def test_a_message_in_the_middle_of_a_turn_is_answered_once(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1"), says("Both."))
    async with harness.live() as session:
        await asyncio.gather(say(session, "one"), say(session, "two"), ask(session, "three"))
    assert (await harness.told()).count("turn ended: waiting") == 1


async def test_an_opening_message_begins_the_first_turn(store: SessionStore) -> None:
    harness = scene(store, says("Hello."))
    harness.opening = InitialInput(message="hi")
    async with harness.live() as session:
        await state(session, "awaiting_user_input")
    assert (await harness.told())[:7] == [
        "state loading",
        "system",
        "user: hi",
        "environment -> running",
        "recall",
        "state running",
        "recall",
    ]
    async with harness.live():
        pass
    assert (await users_words(harness)) == ["hi"]


async def test_another_servers_write_ends_this_session_and_says_so(store: SessionStore) -> None:
    harness = scene(store, says("a"))
    async with harness.live() as session:
        await ask(session, "hi")
        head = session.event_stream.view.head
        term = await store.claim(TALK)
        await store.log(TALK).append(entries(head + 1, head + 2), expected=head, term=term)
        with pytest.raises(NotAccepting, match="another server"):
            await session.submit(SendMessage(content="more"))
        await rest()
        assert session.state is SessionState.ERROR
        with pytest.raises(StorageError):
            await session.submit(SendMessage(content="more"))
        async with asyncio.timeout(LONG):
            await session.close("stopped")
