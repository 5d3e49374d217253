"""Checkpoints, undo and branches of a program's session, against a real model server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions import SessionBusy
from openhands_sessions.adapters.models.litellm import LiteLlmModels
from openhands_sessions.core.errors import AlreadyExists, BadInput, NotFound
from openhands_sessions.sdk.results import MergeResult
from tests.support.model_replies import Reply
from tests.support.model_scripts import echo
from tests.support.program_sessions import ProgramSessions, program_sessions, said

LONG = 500
"""Seconds: loading litellm is work for a busy machine."""
pytestmark = [pytest.mark.timeout(LONG), pytest.mark.slow]


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[ProgramSessions]:
    async with asyncio.timeout(LONG), LiteLlmModels() as models, program_sessions(tmp_path, echo) as ready:
        await models.preload()
        yield ready


def users(history: list[dict[str, str]]) -> list[str]:
    return [text for role, text in said(history) if role == "user"]


async def test_a_restored_checkpoint_takes_back_what_came_after_it_and_erases_nothing(program: ProgramSessions) -> None:
    session = program.session()
    await session.achat("begin")
    first = await session.acreate_checkpoint()
    named = await session.arun("approach A")
    await session.acreate_checkpoint("after A", description="the first try")
    await session.arestore_checkpoint(first)
    assert await session.achat("approach B") == "You said: approach B"
    assert users(await session.aget_history()) == ["begin", "approach B"]
    assert "approach A" not in str(program.model.requests[-1].messages)
    assert [(one.name, one.description) for one in await session.acheckpoints()] == [
        ("1", ""),
        ("after A", "the first try"),
    ]
    await session.arestore_checkpoint("after A", branch="B")
    assert users(await session.aget_history()) == ["begin", "approach A"]
    assert await session.abranches() == ["main", "1", "B"]
    await session.arestore_checkpoint(1)
    assert users(await session.aget_history()) == ["begin"]
    await session.arestore_checkpoint(named.checkpoint)
    assert users(await session.aget_history()) == ["begin", "approach A"]
    texts = [event["args"]["content"] for event in await session.aevents() if event.get("action") == "message"]
    assert "approach B" in texts


async def test_undo_takes_turns_back_and_a_switch_brings_them_again(program: ProgramSessions) -> None:
    session = program.session()
    for text in ("one", "two", "three"):
        await session.achat(text)
    await asyncio.to_thread(session.undo, 2, branch="long")
    assert users(await session.aget_history()) == ["one"]
    await session.aswitch("long")
    assert users(await session.aget_history()) == ["one", "two", "three"]
    with pytest.raises(BadInput, match="turns"):
        await session.aundo(4)
    assert users(await session.aget_history()) == ["one", "two", "three"]


async def test_a_branch_begins_here_or_at_a_checkpoint(program: ProgramSessions) -> None:
    session = program.session()
    await session.achat("one")
    await session.acreate_checkpoint("start")
    await session.achat("two")
    await session.abranch("side")
    await session.achat("three")
    assert (await session.abranches())[0] == "side"
    await session.aswitch("main")
    assert users(await session.aget_history()) == ["one", "two"]
    await session.abranch("other", at="start")
    await session.achat("four")
    assert users(await session.aget_history()) == ["one", "four"]
    await session.aclose()
    again = program.session()
    assert sorted(await again.abranches()) == ["main", "other", "side"]
    await again.aswitch("side")
    assert users(await again.aget_history()) == ["one", "two", "three"]


async def test_a_branch_is_deleted_and_a_name_that_no_branch_has_is_refused(program: ProgramSessions) -> None:
    session = program.session()
    await session.achat("one")
    await session.achat("two")
    await session.aundo(branch="old")
    await asyncio.to_thread(session.delete_branch, "old")
    assert await session.abranches() == ["main"]
    for name in ("old", "main"):
        with pytest.raises(BadInput, match=f"'{name}' is"):
            await session.adelete_branch(name)
    assert users(await session.aget_history()) == ["one"]
    assert "two" in [event.get("args", {}).get("content") for event in await session.aevents()]


async def test_a_move_during_a_turn_or_to_no_place_is_refused_and_changes_nothing(program: ProgramSessions) -> None:
    gate = asyncio.Event()
    session = program.session()
    with pytest.raises(NotFound, match="my-id"):
        await session.aswitch("main")
    await session.achat("one")
    checkpoint = await session.acreate_checkpoint("here")
    with pytest.raises(BadInput, match="checkpoint"):
        await session.acreate_checkpoint("here")
    with pytest.raises(BadInput, match="'there' is unknown"):
        await session.arestore_checkpoint("there")
    program.model.play([Reply(text="Slow.", gate=gate)])
    turn = asyncio.create_task(session.achat("two"))
    await program.model.asked(2)
    with pytest.raises(SessionBusy):
        await session.arestore_checkpoint(checkpoint)
    gate.set()
    assert await turn == "Slow."
    assert users(await session.aget_history()) == ["one", "two"]


async def test_a_fork_is_a_session_of_its_own_that_begins_with_the_same_dialogue(program: ProgramSessions) -> None:
    session = program.session()
    with pytest.raises(NotFound, match="my-id"):
        await session.afork("copy")
    first = await session.arun("one")
    await session.achat("two")
    fork = await session.afork("copy ✓")
    assert fork.session_id == "copy ✓"
    assert users(await fork.aget_history()) == ["one", "two"]
    await fork.achat("three")
    await session.achat("four")
    assert users(await fork.aget_history()) == ["one", "two", "three"]
    assert users(await session.aget_history()) == ["one", "two", "four"]
    early = await asyncio.to_thread(session.fork, "early", at=first.checkpoint)
    assert users(await early.aget_history()) == ["one"]
    again = await session.afork("early", at=first.checkpoint)
    assert users(await again.aget_history()) == ["one"]
    with pytest.raises(AlreadyExists, match="taken"):
        await session.afork("early")


async def test_a_session_is_merged_with_its_fork_and_with_a_branch(program: ProgramSessions) -> None:
    session = program.session()
    await session.achat("one")
    fork = await session.afork("fork")
    await session.achat("two")
    await fork.achat("three")
    merged = await session.amerge_sessions(fork)
    assert merged.session_id == "my-id_merged"
    assert users(await merged.aget_history()) == ["one", "two", "three"]
    assert users(await session.aget_history()) == ["one", "two"]
    assert (await session.amerge_sessions(fork)).session_id == "my-id_merged-2"
    result = await asyncio.to_thread(session.merge, fork)
    assert (result.turns, result.left_branch, result.conflicts) == (1, None, ())
    assert (await session.amerge(fork)).turns == 0
    assert await session.achat("four") == "You said: four"
    assert users(await session.aget_history()) == ["one", "two", "three", "four"]
    await session.aundo(2, branch="late")
    await session.achat("five")
    assert (await session.amerge("late", left="mine")) == MergeResult(turns=2, left_branch="mine")
    assert sorted(users(await session.aget_history())) == ["five", "four", "one", "three", "two"]
    with pytest.raises(BadInput, match="same store"):
        await session.amerge(program.session(user_id="another"))


async def test_versions_are_numbered_from_0_and_restored_by_their_numbers(program: ProgramSessions) -> None:
    session = program.session()
    with pytest.raises(NotFound):
        await session.asave_version()
    await session.achat("one")
    assert await session.asave_version("the first") == 0
    await session.achat("two")
    assert await asyncio.to_thread(session.save_version, "the second") == 1
    await session.achat("three")
    assert [(one["version"], one["description"]) for one in await session.alist_versions()] == [
        (0, "the first"),
        (1, "the second"),
    ]
    assert all(one["timestamp"].endswith("Z") for one in await session.alist_versions())
    assert not await session.arestore_version(7)
    assert await session.arestore_version(0)
    assert users(await session.aget_history()) == ["one"]
    diff = await session.adiff("1")
    assert ([turn.text for turn in diff.ours], [turn.text for turn in diff.theirs]) == ([], ["two", "three"])
    await session.achat("four")
    assert await session.asave_version() == 2


async def test_a_tail_gives_what_is_stored_and_then_what_comes(program: ProgramSessions) -> None:
    session = program.session()
    await session.achat("one")
    seen: list[int] = []
    events = session.atail(after=-1)
    async for event in events:
        seen.append(event["id"])
        if event.get("observation") == "turn_ended":
            break
    turn = asyncio.create_task(session.achat("two"))
    async for event in events:
        seen.append(event["id"])
        if event.get("observation") == "turn_ended":
            break
    await events.aclose()  # type: ignore[attr-defined]
    await turn
    assert seen == list(range(len(seen)))
    assert len([event for event in await session.aevents() if event["id"] in seen]) == len(seen)
