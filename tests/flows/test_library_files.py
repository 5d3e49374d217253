"""Sessions of a program as files, against a real model server."""

import asyncio
import json
import pickle
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions import Session
from openhands_sessions.adapters.models.litellm import LiteLlmModels
from openhands_sessions.core.errors import CorruptSession, NotFound, UnsafeFormat
from tests.support.library_programs import LibraryPrograms
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


@pytest.fixture
def other(program: ProgramSessions, tmp_path: Path) -> dict[str, Any]:
    """With which a session is loaded into another store."""
    return {"agent": program.agent(), "store": f"sqlite:///{tmp_path}/other.db"}


async def users(session: Session) -> list[str]:
    return [text for role, text in said(await session.aget_history()) if role == "user"]


async def test_a_session_goes_on_from_a_file_in_another_store(
    program: ProgramSessions, tmp_path: Path, other: dict[str, Any]
) -> None:
    file = tmp_path / "my.pkl"
    session = program.session("näme")
    with pytest.raises(NotFound):
        await session.asave(file)
    await session.achat("one")
    await session.acreate_checkpoint("here")
    await session.achat("two")
    await session.aundo(branch="side")
    await session.asave(file, key="secret")
    with pytest.raises(UnsafeFormat, match="key"):
        await Session.aload(file, **other)
    loaded = await Session.aload(file, key="secret", **other)
    assert (loaded.session_id, await users(loaded)) == ("näme", ["one"])
    assert await loaded.aevents() == await session.aevents()
    assert await loaded.abranches() == ["main", "side"]
    assert await loaded.achat("three") == "You said: three"
    bare = await asyncio.to_thread(Session.load, file, key="secret", store=other["store"])
    assert (bare.agent.name, bare.agent.instructions, bare.agent.api_key) == ("helper", "Be brief.", None)


async def test_a_file_of_a_session_that_is_there_is_old_newer_or_a_branch(
    program: ProgramSessions, tmp_path: Path, other: dict[str, Any]
) -> None:
    first, second, third = (tmp_path / name for name in ("1", "2", "3"))
    here: dict[str, Any] = {"agent": program.agent(), "store": program.store}
    session = program.session()
    await session.achat("one")
    await session.asave(first)
    await session.achat("two")
    await session.asave(second)
    assert await users(await Session.aload(first, **here)) == ["one", "two"]
    there = await Session.aload(first, **other)
    assert await users(there) == ["one"]
    assert await users(await Session.aload(second, **other)) == ["one", "two"]
    await there.achat("three")
    await there.asave(third)
    await session.achat("four")
    newest = (await session.aevents())[-1]["id"]
    with pytest.warns(UserWarning, match="branch 'loaded'"):
        await Session.aload(third, **here)
    moves = [event["extras"] for event in await session.aevents() if event.get("observation") == "history_moved"]
    assert moves[-1]["state_at"] == newest, "the state stays as it is"
    assert await users(session) == ["one", "two", "four"]
    await session.aswitch("loaded")
    assert await users(session) == ["one", "two", "three"]
    assert await session.achat("five") == "You said: five"
    await session.aswitch("main")
    assert (await session.amerge("loaded")).turns == 2
    assert sorted(await users(session)) == ["five", "four", "one", "three", "two"]


async def test_the_state_of_a_session_goes_with_its_file(
    program: ProgramSessions, tmp_path: Path, other: dict[str, Any]
) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    session = program.session()
    await session.achat("one")
    await session.aset_state({"n": 1, "old": True, "large": "x" * 100_000})
    await session.aset_state("user:name", "Ada")
    await session.asave(first)
    there = await Session.aload(first, **other)
    assert await there.aget_state() == {"n": 1, "old": True, "large": "x" * 100_000}
    assert await there.aget_state("user:name") is None
    assert await there.aincr("n") == 2
    await session.achat("two")
    await session.aset_state("n", 5)
    await session.adelete_state("old")
    await session.asave(second)
    assert await (await Session.aload(first, **other)).aget_state("n") == 2, "an older file leaves it alone"
    await Session.aload(second, **other)
    assert await there.aget_state() == {"n": 5, "large": "x" * 100_000}
    assert await there.aincr("n") == 6
    await there.aset_state("more", 1)
    await Session.aload(second, **other)
    assert await there.aget_state() == {"n": 6, "more": 1, "large": "x" * 100_000}, "the same again leaves it alone"
    await there.aundo()
    assert (await users(there), await there.aget_state("n")) == (["one"], 2)


async def test_the_state_stays_where_a_file_has_led_to_a_branch_or_is_cut_off(
    program: ProgramSessions, tmp_path: Path, other: dict[str, Any]
) -> None:
    first, second, third = (tmp_path / name for name in ("1", "2", "3"))
    session = program.session()
    await session.achat("one")
    await session.aset_state({"a": 1, "b": 1})
    await session.asave(first)
    there = await Session.aload(first, **other)
    await session.achat("two")
    await session.aset_state({"a": 2, "b": 2})
    await session.asave(second)
    second.write_bytes(second.read_bytes()[:-70])
    await Session.aload(second, recover=True, **other)
    assert (await users(there), await there.aget_state()) == (["one", "two"], {"a": 2, "b": 1})
    await session.achat("three")
    await session.asave(third)
    await there.achat("four")
    with pytest.warns(UserWarning, match="branch 'loaded'"):
        await Session.aload(third, **other)
    assert await there.aget_state() == {"a": 2, "b": 1}
    await there.aswitch("loaded")
    await there.aswitch("main")
    assert await there.aget_state() == {"a": 2, "b": 1}


async def test_a_file_that_was_saved_in_a_turn_starts_nothing_where_it_is_loaded(
    program: ProgramSessions, tmp_path: Path, other: dict[str, Any]
) -> None:
    gate, file = asyncio.Event(), tmp_path / "s"
    session = program.session()
    await session.achat("one")
    program.model.play([Reply(text="Slow.", gate=gate), Reply(text="Later.")])
    turn = asyncio.create_task(session.achat("two"))
    await program.model.asked(2)
    await session.asave(file)
    loaded = await Session.aload(file, **other)
    assert await users(loaded) == ["one", "two"]
    gate.set()
    assert await turn == "Slow."
    asked = len(program.model.requests)
    assert await loaded.achat("three") == "Later."
    assert len(program.model.requests) == asked + 1


async def test_an_instance_becomes_what_a_file_holds(program: ProgramSessions, tmp_path: Path) -> None:
    session = program.session("one")
    await session.achat("hello")
    await session.asave(tmp_path / "s")
    instance = program.session("two")
    assert await instance.aload(tmp_path / "s") is instance
    assert (instance.session_id, await users(instance)) == ("one", ["hello"])


async def test_a_damaged_file_changes_nothing_unless_its_sound_part_is_asked_for(
    program: ProgramSessions, tmp_path: Path, other: dict[str, Any]
) -> None:
    file = tmp_path / "s"
    session = program.session()
    await session.achat("one")
    await session.achat("two")
    await session.asave(file)
    file.write_bytes(file.read_bytes()[:-700])
    with pytest.raises(CorruptSession, match="recover=True") as told:
        await Session.aload(file, **other)
    assert told.value.last_good > 0
    assert await program.session(store=other["store"]).aget_history() == []
    loaded = await Session.aload(file, recover=True, **other)
    assert (await users(loaded))[0] == "one"
    assert await loaded.achat("three") == "You said: three"
    (tmp_path / "p").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UnsafeFormat, match="pickle"):
        await Session.aload(tmp_path / "p", **other)


async def test_a_dialogue_is_exported_in_each_form(program: ProgramSessions) -> None:
    session = program.session()
    await session.achat("one")
    await session.achat("gone")
    await session.aundo()
    events = [json.loads(line) for line in (await session.aexport()).splitlines()]
    texts = [event["args"]["content"] for event in events if event.get("action") == "message"]
    assert texts == ["one", "You said: one"]
    assert len(json.loads(await session.aexport("json"))["trajectory"]) > len(texts)
    messages = json.loads(await session.aexport("openai"))["messages"]
    spoken = [(one["role"], one["content"]) for one in messages if one["content"] in texts]
    assert spoken == [("user", "one"), ("assistant", "You said: one")]
    text = await asyncio.to_thread(session.export, "markdown")
    assert text.startswith("# my-id\n\n**user** (")
    assert "**helper**" in text


SAVING = """
folder = os.environ["FOLDER"]
one = session()
given = {"agent": one.agent, "store": f"sqlite:///{folder}/other.db"}
one.chat("one")
one.set_state("n", 1)
one.save(f"{folder}/1")
Session.load(f"{folder}/1", **given)
one.chat("two")
one.set_state("n", 2)
one.save(f"{folder}/2")
"""
KILLED = """
from openhands_sessions.service.log_restoring import LogRestoring
append = LogRestoring._append

async def kills(self, *given):
    await append(self, *given)
    os.kill(os.getpid(), signal.SIGKILL)

LogRestoring._append = kills
Session.load(os.environ["FOLDER"] + "/2", store=f"sqlite:///{os.environ['FOLDER']}/other.db")
"""
AFTERWARDS = """
there = session(store=f"sqlite:///{os.environ['FOLDER']}/other.db")
say([len(there.get_history()), there.get_state("n")])
there.load(os.environ["FOLDER"] + "/2")
say([there.get_state("n"), there.incr("n")])
there.load(os.environ["FOLDER"] + "/2")
say(there.get_state("n"))
"""


async def test_a_load_that_a_kill_cuts_off_before_the_state_is_finished_by_the_next_one_once(tmp_path: Path) -> None:
    async with asyncio.timeout(LONG):
        programs = LibraryPrograms(folder=tmp_path)
        programs.script("replies:\n  - steps: [{say: One.}]\n  - steps: [{say: Two.}]\n")
        await programs.run(SAVING)
        await programs.run(KILLED, code=-signal.SIGKILL)
        assert await programs.run(AFTERWARDS) == "[4, 1]\n[2, 3]\n3\n"
