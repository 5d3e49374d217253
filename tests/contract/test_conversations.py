"""What every Conversations keeps, here or on another server."""

import pytest

from openhands_sessions.core.errors import AlreadyExists, BadInput, NotFound
from openhands_sessions.core.history_commands import CreateCheckpoint, DeleteBranch, SwitchBranch, Undo
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.lineage import MAIN
from openhands_sessions.ports.conversations import ForkSpec
from tests.support.gateway_kinds import SID, Kind, whole_log
from tests.support.list_reader import reading_list


async def test_the_history_is_moved_and_told_alike_from_here_and_from_afar(kind: Kind) -> None:
    gateway, conversations = kind.gateway, kind.conversations
    with pytest.raises(NotFound):
        await conversations.history(SID, limit=10)
    await whole_log(gateway)
    before = await conversations.history(SID, limit=10)
    assert [turn.text for turn in before.turns] == ["one", "two"]
    assert (before.branch, before.more, list(before.branches), list(before.checkpoints)) == (MAIN, False, [], [])
    assert before.chain == ((0, (await gateway.describe(SID)).head),) == (await gateway.describe(SID)).chain
    newest = await conversations.history(SID, limit=1)
    assert ([turn.text for turn in newest.turns], newest.more) == (["two"], True)
    places = await conversations.history(SID, limit=0)
    assert (list(places.turns), places.more, places.chain) == ([], True, before.chain)
    older = await conversations.history(SID, limit=10, before=before.turns[1].message)
    assert ([turn.text for turn in older.turns], older.more) == (["one"], False)
    undone = await gateway.submit(SID, Undo(branch="old"), key="k")
    assert await gateway.submit(SID, Undo(branch="old"), key="k") == undone
    change = await conversations.history_change(SID, undone.id)
    assert (change.action, change.message, change.text) == ("undo", before.turns[1].message, "two")
    assert (change.branch, change.left_branch) == (MAIN, "old")
    labelled = await gateway.submit(SID, CreateCheckpoint(name="here", description="well"))
    assert (await conversations.history_change(SID, labelled.id)).action == "checkpoint"
    after = await conversations.history(SID, limit=10)
    assert [turn.text for turn in after.turns] == ["one"]
    assert [(one.name, one.description, one.at) for one in after.checkpoints] == [("here", "well", change.to)]
    assert [one.name for one in after.branches] == ["old"]
    assert len(after.chain) == 2
    with pytest.raises(BadInput, match="branch"):
        await gateway.submit(SID, SwitchBranch(branch="nowhere"))
    deleted = await gateway.submit(SID, DeleteBranch(branch="old"), key="d")
    assert await gateway.submit(SID, DeleteBranch(branch="old"), key="d") == deleted
    change = await conversations.history_change(SID, deleted.id)
    assert (change.action, change.branch, change.to) == ("delete_branch", "old", None)
    after = await conversations.history(SID, limit=10)
    assert (list(after.branches), [turn.text for turn in after.turns]) == ([], ["one"])
    with pytest.raises(NotFound):
        await conversations.history_change(SID, EventId(after.chain[-1][1] + 1))


async def test_a_list_is_followed_and_read_alike_from_here_and_from_afar(kind: Kind) -> None:
    gateway, conversations = kind.gateway, kind.conversations
    async with reading_list(conversations) as reader:
        assert reader.rows == {}
        log = await whole_log(gateway)
        await reader.until(lambda: SID in reader.rows and reader.rows[SID].state is SessionState.READY)
        await reader.until(lambda: reader.rows[SID].unread == 2)
        assert await conversations.mark_read(SID, log[-1].id) == log[-1].id
        await reader.until(lambda: reader.rows[SID].unread == 0)
        assert await conversations.mark_read(SID, EventId(1)) == log[-1].id
        with pytest.raises(BadInput, match="event_id"):
            await conversations.mark_read(SID, EventId(log[-1].id + 100))
        reader.renew()
        await reader.until_snapshots(2)
        await conversations.rename(SID, "New")
        await reader.until(lambda: reader.rows[SID].title == "New")
        await conversations.delete(SID)
        await reader.until(lambda: reader.rows == {})
        with pytest.raises(NotFound):
            await conversations.mark_read(SID, EventId(0))


async def test_a_fork_is_made_alike_from_here_and_from_afar(kind: Kind) -> None:
    gateway, conversations = kind.gateway, kind.conversations
    fork = ForkSpec(id=ConversationId("fork"), title="Another try")
    with pytest.raises(NotFound):
        await conversations.fork(SID, fork)
    await whole_log(gateway)
    labelled = await gateway.submit(SID, CreateCheckpoint(name="here"))
    await conversations.fork(SID, fork)
    await conversations.fork(SID, fork)
    info = await gateway.describe(fork.id)
    assert (info.title, info.cost) == ("Another try", 0.0)
    assert [turn.text for turn in (await conversations.history(fork.id, limit=10)).turns] == ["one", "two"]
    with pytest.raises(AlreadyExists):
        await conversations.fork(SID, ForkSpec(id=SID))
    with pytest.raises(AlreadyExists):
        await conversations.fork(SID, ForkSpec(id=fork.id, checkpoint="here"))
    with pytest.raises(BadInput, match="event"):
        await conversations.fork(SID, ForkSpec(id=ConversationId("b"), event=EventId(labelled.id + 1)))
    with pytest.raises(BadInput, match="'there' is unknown"):
        await conversations.fork(SID, ForkSpec(id=ConversationId("b"), checkpoint="there"))
    first = (await conversations.history(SID, limit=10)).turns[1].message
    await conversations.fork(SID, ForkSpec(id=ConversationId("b"), event=EventId(first - 1)))
    assert [turn.text for turn in (await conversations.history(ConversationId("b"), limit=10)).turns] == ["one"]


async def test_dialogues_are_compared_alike_from_here_and_from_afar(kind: Kind) -> None:
    gateway, conversations, fork = kind.gateway, kind.conversations, ConversationId("fork")
    await whole_log(gateway)
    await conversations.fork(SID, ForkSpec(id=fork))
    await gateway.submit(SID, Undo(branch="old"))
    with_fork, with_branch = await conversations.diff(SID, fork), await conversations.diff(SID, branch="old")
    for found in (with_fork, with_branch):
        assert (found.shared, list(found.ours), [turn.text for turn in found.theirs]) == (2, [], ["two"])
    assert [turn.text for turn in (await conversations.diff(fork, SID)).ours] == ["two"]
    with pytest.raises(BadInput, match="conversation"):
        await conversations.diff(SID)
    with pytest.raises(BadInput, match="'there' is unknown"):
        await conversations.diff(SID, branch="there")
    with pytest.raises(NotFound):
        await conversations.diff(SID, ConversationId("unknown"))
