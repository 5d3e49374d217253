"""What every Gateway keeps, here or on another server."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from openhands_sessions.core.commands import Answer, Resume, SetModel, Stop
from openhands_sessions.core.errors import BadInput, NotAccepting, NotFound, SessionsError
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.events.event import AgentState, Json
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.gateway import Delta, FeedItem, Gateway, SessionClosed, SessionEnded, SessionSpec, Status
from tests.support.gateway_kinds import IDLE, SID, Kind, new, say, whole_log
from tests.support.in_process_server import following, hear, numbered, read, turn_ends


@pytest.fixture
def gateway(kind: Kind) -> Gateway:
    return kind.gateway


async def test_an_unknown_conversation_is_not_found(gateway: Gateway) -> None:
    with pytest.raises(NotFound):
        await gateway.open(SessionSpec(id=SID))
    with pytest.raises(NotFound):
        await gateway.describe(SID)
    with pytest.raises(NotFound):
        await gateway.submit(SID, Stop())
    with pytest.raises(NotFound):
        async with gateway.follow(SID, -1):
            pass


async def test_what_is_opened_is_described(gateway: Gateway) -> None:
    spec = SessionSpec(id=SID, create=True, title="A talk")
    info = await gateway.open(spec)
    assert (info.id, info.owner, info.title) == (SID, LOCAL_OWNER, "A talk")
    assert info.state is not None
    log = await read(gateway, SID, -1, IDLE)
    found = await gateway.describe(SID)
    assert (found.state, found.agent_state) == (SessionState.READY, AgentState.AWAITING_USER_INPUT)
    assert (found.head, found.last_state) == (log[-1].id, log[-1].id)
    assert found.created_at == info.created_at


async def test_a_known_id_is_joined_and_the_rest_not_looked_at(gateway: Gateway) -> None:
    first = await new(gateway)
    again = await gateway.open(SessionSpec(id=SID, create=True, title="another"))
    assert (again.title, again.created_at) == (first.title, first.created_at)


async def test_a_wrong_setting_is_named_and_nothing_is_made(gateway: Gateway) -> None:
    with pytest.raises(BadInput, match="llm_modle"):
        await new(gateway, llm_modle="x")
    with pytest.raises(NotFound):
        await gateway.describe(SID)


async def test_a_trajectory_is_replayed_or_refused_whole(gateway: Gateway) -> None:
    said = '{"action": "message", "source": "user", "args": {"content": "go"}}'
    ran = '{"action": "run", "source": "agent", "args": {"command": "echo again"}}'
    spec = SessionSpec(id=SID, create=True, replay_json=f"[{said}, {ran}]")
    for wrong in (replace(spec, replay_json=f"[{ran}]"), replace(spec, initial_message="hello")):
        with pytest.raises(BadInput):
            await gateway.open(wrong)
        with pytest.raises(NotFound):
            await gateway.describe(SID)
    await gateway.open(spec)
    log = await read(gateway, SID, -1, turn_ends)
    assert '"content":"again\\n"' in next(entry.text for entry in log if entry.kind == "observation:run")


async def test_the_first_message_begins_a_turn(gateway: Gateway) -> None:
    await new(gateway, message="hello")
    log = await read(gateway, SID, -1, turn_ends)
    assert '"content":"hello"' in next(entry.text for entry in log if entry.kind == "action:message")


async def test_images_come_with_the_first_message(gateway: Gateway) -> None:
    image = "data:image/png;base64,iVBORw0KGgo="
    spec = SessionSpec(id=SID, create=True, initial_message="look", image_urls=(image,))
    await gateway.open(spec)
    log = await read(gateway, SID, -1, turn_ends)
    said = [entry.text for entry in log if entry.kind == "action:message" and '"source":"user"' in entry.text]
    assert len(said) == 1
    assert '"content":"look"' in said[0]
    assert image in said[0]


@pytest.mark.parametrize("works", [True, False])
async def test_a_conversation_begins_from_a_summary_or_not_at_all(kind: Kind, data_dir: Path, works: bool) -> None:
    earlier: tuple[Json, ...] = ({"role": "user", "content": "build a boat"},)
    (data_dir / "scripts").mkdir()
    (data_dir / "scripts" / "boat.yaml").write_text("name: boat\nreplies: [{steps: [{say: A boat.}]}]\n")
    settings: dict[str, Json] = {"llm_model": "scripted:boat"} if works else {"agent": "shell"}
    spec = SessionSpec(id=SID, create=True, settings=settings, seed_messages=earlier, initial_message="go on")
    if not works:
        with pytest.raises(NotAccepting, match="no model"):
            await kind.gateway.open(spec)
        with pytest.raises(NotFound):
            await kind.gateway.describe(SID)
        return
    await kind.gateway.open(spec)
    log = await read(kind.gateway, SID, -1, turn_ends)
    kinds = [entry.kind for entry in log]
    assert kinds.index("action:history_seeded") < kinds.index("action:message")


async def test_following_from_any_cursor_gives_the_log_from_there(gateway: Gateway) -> None:
    log = await whole_log(gateway)
    assert [entry.id for entry in log] == list(range(len(log)))
    for after in range(-1, len(log) - 1):
        assert await read(gateway, SID, after, numbered(len(log) - 1)) == log[after + 1 :]


async def test_two_followers_get_the_same_in_the_same_order(gateway: Gateway) -> None:
    await new(gateway)
    await read(gateway, SID, -1, IDLE)
    async with (
        asyncio.timeout(10),
        gateway.follow(SID, -1) as one,
        gateway.follow(SID, 1) as other,
        asyncio.TaskGroup() as tasks,
    ):
        ones = tasks.create_task(following(one, turn_ends))
        others = tasks.create_task(following(other, turn_ends))
        await say(gateway, "hello")
    assert ones.result()[2:] == others.result()


async def test_a_cursor_beyond_the_head_waits_for_what_lies_behind_it(gateway: Gateway) -> None:
    await new(gateway)
    head = (await read(gateway, SID, -1, IDLE))[-1].id
    async with asyncio.timeout(10), gateway.follow(SID, head + 2) as news:
        first = await say(gateway, "hello")
        assert first == head + 1
        found = await following(news, turn_ends)
    assert found[0].id == head + 3


async def test_a_command_is_durable_under_the_id_that_it_was_accepted_with(gateway: Gateway) -> None:
    await new(gateway)
    said = await say(gateway, "remember this")
    [entry] = await read(gateway, SID, said - 1, numbered(said))
    assert "remember this" in entry.text


async def test_the_same_key_gives_the_same_answer_and_does_nothing_twice(gateway: Gateway) -> None:
    await new(gateway)
    answers = [await say(gateway, "once", "k"), *await asyncio.gather(*(say(gateway, "once", "k") for _ in range(3)))]
    assert len(set(answers)) == 1
    await read(gateway, SID, answers[0], turn_ends)
    log = await read(gateway, SID, -1, numbered((await gateway.describe(SID)).head))
    assert sum('"content":"once"' in entry.text for entry in log if entry.kind == "action:message") == 1


async def test_a_key_used_for_another_command_is_refused(gateway: Gateway) -> None:
    await new(gateway)
    await say(gateway, "once", "k")
    with pytest.raises(BadInput, match="key"):
        await say(gateway, "something else", "k")


@pytest.mark.parametrize("command", [Answer(confirmed=True), Resume()])
async def test_what_does_not_fit_the_moment_is_not_accepted(gateway: Gateway, command: Answer | Resume) -> None:
    await new(gateway)
    with pytest.raises(NotAccepting):
        await gateway.submit(SID, command)


async def test_a_reply_streams_as_deltas_that_make_up_its_text(gateway: Gateway) -> None:
    await new(gateway, llm_model="scripted")
    await read(gateway, SID, -1, IDLE)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        head = (await gateway.describe(SID)).head
        hearing = tasks.create_task(hear(gateway, SID, head, turn_ends))
        await say(gateway, "hello")
    deltas = [item for item in hearing.result() if isinstance(item, Delta)]
    [reply] = [
        item.text
        for item in hearing.result()
        if isinstance(item, Stored) and item.kind == "action:message" and '"source":"agent"' in item.text
    ]
    text = ""
    for delta in deltas:
        assert delta.offset == len(text)
        text += delta.text
    assert "Hello! I am" in text
    assert text.splitlines()[0] in reply


@pytest.mark.parametrize("reason", ["stopped", "deleted"])
async def test_followers_learn_why_a_session_ended_after_its_last_event(kind: Kind, reason: str) -> None:
    gateway = kind.gateway
    await new(gateway)
    await read(gateway, SID, -1, IDLE)
    async with asyncio.timeout(10), gateway.follow(SID, -1) as news, asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(to_the_end(news))
        tasks.create_task(end_session(kind, reason))
    ids, told = hearing.result()
    assert told == reason
    assert ids == list(range(len(ids)))
    assert len(ids) >= 4


async def to_the_end(news: AsyncIterator[FeedItem]) -> tuple[list[int], str]:
    """The ids of all events, and why there are no more."""
    ids: list[int] = []
    try:
        async for item in news:
            ids += [] if isinstance(item, Delta | Status | SessionClosed) else [entry.id for entry in item]
    except SessionEnded as end:
        return ids, end.reason
    raise AssertionError("following ended without a word")


async def end_session(kind: Kind, reason: str) -> None:
    if reason == "deleted":
        assert await kind.house.local.conversations.delete(SID)
    else:
        await kind.gateway.close(SID, "stopped")


async def test_a_session_that_cannot_be_set_up_ends_as_failed(kind: Kind) -> None:
    kind.house.config.data_dir.joinpath("runtimes").write_text("in the way of the workspaces")
    await new(kind.gateway)
    with pytest.raises(SessionEnded) as end:
        await read(kind.gateway, SID, -1, turn_ends)
    assert end.value.reason == "failed"
    assert "the workspace's folder cannot be used" in ((await kind.gateway.describe(SID)).problem or "")


async def test_a_stopped_conversation_is_revived_by_a_command(gateway: Gateway) -> None:
    await new(gateway)
    await read(gateway, SID, -1, IDLE)
    await gateway.close(SID, "stopped")
    assert (await gateway.describe(SID)).state is None
    said = await say(gateway, "are you there?")
    await read(gateway, SID, said, turn_ends)
    assert (await gateway.describe(SID)).state is not None


async def test_a_stopped_conversation_is_revived_by_a_follower(gateway: Gateway) -> None:
    await new(gateway)
    log = await read(gateway, SID, -1, IDLE)
    await gateway.close(SID, "stopped")
    assert (await read(gateway, SID, -1, numbered(log[-1].id)))[: len(log)] == log
    assert (await gateway.describe(SID)).state is not None


async def test_closing_what_is_not_live_does_nothing(gateway: Gateway) -> None:
    await new(gateway)
    await gateway.close(SID, "stopped")
    await gateway.close(SID, "stopped")


async def test_a_deleted_conversation_stays_deleted(kind: Kind) -> None:
    await new(kind.gateway)
    await kind.house.local.conversations.delete(SID)
    with pytest.raises(NotFound):
        await kind.gateway.describe(SID)
    with pytest.raises(SessionsError):
        await new(kind.gateway)


async def test_a_model_is_chosen_alike_from_here_and_from_afar(gateway: Gateway) -> None:
    await new(gateway, llm_model="scripted")
    chosen = await gateway.submit(SID, SetModel("scripted:demo"), key="k")
    assert await gateway.submit(SID, SetModel("scripted:demo"), key="k") == chosen
    for wrong in ("scripted:nowhere", ""):
        with pytest.raises(BadInput, match="model"):
            await gateway.submit(SID, SetModel(wrong))
    assert (await gateway.describe(SID)).model == "scripted:demo"
