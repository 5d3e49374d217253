"""A merge goes on with the turns of two dialogues, once each, and costs nothing a second time."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.errors import BadInput, NotFound, NothingToMerge, TooLarge
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import Stored, decode, stored
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.events.own import StopReason, TurnEndedObservation
from openhands_sessions.core.history_changes import HistoryChange
from openhands_sessions.core.history_commands import Merge, SwitchBranch, Undo
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.core.merging import whole_turns
from openhands_sessions.ports.conversations import ForkSpec
from openhands_sessions.ports.model import ModelSpec
from openhands_sessions.ports.store import LogBeginning, SessionStore
from openhands_sessions.service.dialogue_diff import own_turns
from openhands_sessions.session import history_merge, related_dialogues
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.feed import Feed
from openhands_sessions.session.history_merge import HistoryMerge, MergePlan
from openhands_sessions.session.related_dialogues import dialogue_turns
from tests.fakes.model import FakeModel, FakeModels, FakeReply
from tests.support.moved_logs import views_of
from tests.support.service_layer import ADA, BOB, TALK, ServiceLayer, running_service
from tests.support.session_harness import runs, says, state
from tests.support.store_entries import NOW, read, row

FORK = ConversationId("fork")


def layer(store: SessionStore, *replies: FakeReply) -> ServiceLayer:
    return ServiceLayer(store=store, models=FakeModels(FakeModel(replies)), layers=({"llm_model": "fake"},))


async def say(service: ServiceLayer, text: str, sid: ConversationId = TALK) -> None:
    session = await service.open(sid, ADA)
    accepted = await service.of(ADA).gateway.submit(sid, SendMessage(content=text))
    await state(session, "awaiting_user_input", accepted.id)


async def merge(service: ServiceLayer, sid: ConversationId = TALK, **given: Any) -> HistoryChange:
    await service.open(sid, ADA)
    accepted = await service.of(ADA).gateway.submit(sid, Merge(**given))
    return await service.of(ADA).conversations.history_change(sid, accepted.id)


async def turns(service: ServiceLayer, sid: ConversationId = TALK) -> list[str]:
    return [turn.text for turn in (await service.of(ADA).conversations.history(sid, limit=100)).turns]


async def events(service: ServiceLayer, sid: ConversationId = TALK) -> list[Event]:
    return [decode(entry.text, entry.schema) for entry in await read(service.store.log(sid))]


async def grown(service: ServiceLayer) -> None:
    """A conversation and its fork: both have "one"; then they have "two" and "four", "three" and "five"."""
    await say(service, "one")
    await service.of(ADA).conversations.fork(TALK, ForkSpec(id=FORK))
    for text, sid in (("two", TALK), ("three", FORK), ("four", TALK), ("five", FORK)):
        await say(service, text, sid)


async def test_a_fork_is_merged_by_whole_turns_in_one_order_from_either_side(store: SessionStore) -> None:
    replies = [says("1"), runs("echo 2"), says("2"), runs("echo 3"), says("3"), says("4"), says("5"), says("6")]
    async with running_service(layer(store, *replies)) as service:
        await grown(service)
        cost = (await service.of(ADA).gateway.describe(TALK)).cost
        done = await merge(service, conversation=FORK)
        assert (done.action, done.turns, done.left_branch) == ("merge", 2, "1")
        assert await turns(service) == ["one", "two", "three", "four", "five"]
        assert (await service.of(ADA).gateway.describe(TALK)).cost == cost
        with pytest.raises(NothingToMerge):
            await merge(service, conversation=FORK)
        await merge(service, FORK, conversation=TALK)
        assert await turns(service, FORK) == await turns(service)
        log = await events(service)
        view = views_of(log)[-1]
        assert view.between_turns
        session = service.directory.find(TALK)
        assert session is not None
        assert session.event_stream.view == view
        answered = {event.cause for event in log if event.cause is not None}
        called = [event for event in log if event.tool_call_metadata is not None and event.cause is None]
        assert {event.id for event in called} <= answered, "no call is without its result"
        await say(service, "six")
        shown: Any = (await service.models.open(ModelSpec(name="fake"))).requests[-1].messages
        users = [one["content"] for one in shown if one["role"] == "user" and len(one["content"]) < 6]
        assert users == ["one", "two", "three", "four", "five", "six"]
        await service.of(ADA).gateway.submit(TALK, SwitchBranch(branch="1"))
        assert await turns(service) == ["one", "two", "four"]


async def test_a_branch_is_merged_and_new_turns_of_it_later(store: SessionStore) -> None:
    async with running_service(layer(store, *[says(str(number)) for number in range(9)])) as service:
        for text in ("one", "two"):
            await say(service, text)
        await service.of(ADA).gateway.submit(TALK, Undo(branch="side"))
        await say(service, "three")
        await merge(service, branch="side", left="mine")
        assert await turns(service) == ["one", "two", "three"]
        await service.of(ADA).gateway.submit(TALK, SwitchBranch(branch="side"))
        await say(service, "four")
        await service.of(ADA).gateway.submit(TALK, SwitchBranch(branch="main"))
        assert (await merge(service, branch="side")).turns == 1
        assert sorted(await turns(service)) == ["four", "one", "three", "two"]


async def test_what_is_not_related_or_not_to_be_seen_is_not_merged(store: SessionStore) -> None:
    async with running_service(layer(store, *[says(str(number)) for number in range(9)])) as service:
        await say(service, "one")
        await say(service, "other", FORK)
        head = await store.log(TALK).head()
        with pytest.raises(BadInput, match="nothing in common"):
            await merge(service, conversation=FORK)
        with pytest.raises(BadInput, match="'there' is unknown"):
            await merge(service, branch="there")
        await service.open("foreign", BOB)
        with pytest.raises(NotFound):
            await merge(service, conversation=ConversationId("foreign"))
        assert await store.log(TALK).head() == head


async def test_what_ran_in_another_sandbox_has_not_run_in_that_of_a_merge(store: SessionStore) -> None:
    replies = [says("1"), says("2"), runs("echo 3"), says("3"), says("4"), says("5")]
    async with running_service(layer(store, *replies)) as service:
        await grown(service)
        await merge(service, conversation=FORK)
        assert views_of(await events(service))[-1].sandbox.executed is None


async def test_dialogues_beyond_the_limit_are_neither_merged_nor_compared(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_service(layer(store, *[says(str(number)) for number in range(9)])) as service:
        await grown(service)
        head = await store.log(TALK).head()
        monkeypatch.setattr(related_dialogues, "LARGEST_DIALOGUE", 2_000)
        with pytest.raises(TooLarge, match="2,000 bytes"):
            await merge(service, conversation=FORK)
        with pytest.raises(TooLarge, match="2,000 bytes"):
            await service.of(ADA).conversations.diff(TALK, FORK)
        monkeypatch.undo()
        monkeypatch.setattr(history_merge, "MOST_MERGED", 3)
        with pytest.raises(TooLarge, match="3 events"):
            await merge(service, conversation=FORK)
        assert await store.log(TALK).head() == head
        monkeypatch.undo()
        assert (await merge(service, conversation=FORK)).turns == 2


async def test_others_have_their_turn_while_a_long_dialogue_is_merged_and_compared(store: SessionStore) -> None:
    """Counts how often the loop goes round while 1,000 turns of two events are read, copied and compared."""
    long = [event(number) for number in range(2_000)]
    await store.conversations.create(row(FORK), begins=LogBeginning(entries=long))
    plan = MergePlan(
        conversation=FORK,
        branch="",
        base=EventId(0),
        turns=list(whole_turns(FORK, long)),
        mine=frozenset(),
        conflicts=(),
    )
    log = store.log(TALK)
    merging = HistoryMerge(TALK, EventStream(log, Feed(log), lambda: NOW), store)
    for work in (
        dialogue_turns(store, FORK, ((EventId(0), EventId(1_999)),)),
        merging.events(plan, EventId(1)),
        own_turns(plan.turns, ()),
    ):
        assert await rounds(work) >= 5


def event(number: int) -> Stored:
    """Each message is answered by the end of its turn."""
    given: dict[str, Any] = {"id": EventId(number), "timestamp": NOW}
    if number % 2:
        return stored(TurnEndedObservation(**given, stop_reason=StopReason.WAITING, seen=EventId(number)))
    return stored(MessageAction(**given, source=Source.USER, content="x"))


async def rounds(work: Coroutine[Any, Any, Any]) -> int:
    """How often the loop goes round until the work is done."""
    task, count = asyncio.create_task(work), 0
    while not task.done():
        count += 1
        await asyncio.sleep(0)
    await task
    return count
