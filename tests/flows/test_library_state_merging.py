"""The state of a session takes over what another one that was forked has changed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.adapters.models.litellm import LiteLlmModels
from openhands_sessions.core.errors import BadInput, RevisionConflict
from openhands_sessions.sdk.session import Session
from tests.support.model_scripts import echo
from tests.support.program_sessions import ProgramSessions, program_sessions

LONG = 500
"""Seconds: loading litellm is work for a busy machine."""
pytestmark = [pytest.mark.timeout(LONG), pytest.mark.slow]


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[ProgramSessions]:
    async with asyncio.timeout(LONG), LiteLlmModels() as models, program_sessions(tmp_path, echo) as ready:
        await models.preload()
        yield ready


async def forked(program: ProgramSessions) -> tuple[Session, Session]:
    """A session and its fork, which both have changed `both`, and each a key of its own."""
    session = program.session()
    await session.achat("one")
    await session.aset_state({"both": 0, "ours": 0, "theirs": 0, "gone": 0})
    fork = await session.afork("fork")
    await fork.aset_state({"both": 3, "ours": 0, "theirs": 2, "new": True})
    await session.aset_state("both", 1)
    await session.aset_state("ours", 1)
    return session, fork


@pytest.mark.parametrize(
    ("on_conflict", "both"),
    [("ours", 1), ("theirs", 3), ("latest", 1), (lambda key, base, ours, theirs: max(base, ours, theirs), 3)],
)
async def test_what_one_side_has_changed_is_taken_over_and_what_both_have_is_decided(
    program: ProgramSessions, on_conflict: Any, both: int
) -> None:
    session, fork = await forked(program)
    result = await session.amerge(fork, on_conflict=on_conflict)
    assert result.state_conflicts == ("both",)
    expected = {"both": both, "ours": 1, "theirs": 2, "new": True}
    assert await session.aget_state() == expected
    again = await session.amerge(fork, on_conflict=on_conflict)
    assert (again.turns, await session.aget_state()) == (0, expected)
    assert (await fork.aget_state())["both"] == 3
    await session.aset_state("theirs", 5)
    kept = await asyncio.to_thread(session.merge, fork)
    assert "theirs" in kept.state_conflicts
    assert await session.aget_state("theirs") == 5


async def test_a_conflict_is_raised_before_anything_is_merged(program: ProgramSessions) -> None:
    session, fork = await forked(program)
    await fork.achat("two")
    with pytest.raises(RevisionConflict) as refused:
        await session.amerge(fork, on_conflict="error")
    error = refused.value
    assert (error.key, error.base, error.ours, error.theirs) == ("both", 0, 1, 3)
    assert (await session.aget_state("theirs"), len(await session.aget_history())) == (0, 2)
    await fork.aset_state("both", 1)
    assert (await session.amerge(fork, on_conflict="error")).turns == 1
    assert await session.aget_state("theirs") == 2


async def test_a_merged_session_has_the_state_of_both_and_its_fork_is_merged_back(program: ProgramSessions) -> None:
    session, fork = await forked(program)
    merged = await session.amerge_sessions(fork, on_conflict="theirs")
    assert await merged.aget_state() == {"both": 3, "ours": 1, "theirs": 2, "new": True}
    assert (await session.aget_state())["both"] == 1
    assert (await fork.amerge(session)).state_conflicts == ("both",)
    assert await fork.aget_state() == {"both": 3, "ours": 1, "theirs": 2, "new": True}


async def test_what_is_no_way_to_decide_is_refused(program: ProgramSessions) -> None:
    session, fork = await forked(program)
    wrong: Any = "newest"
    with pytest.raises(BadInput, match="on_conflict"):
        await session.amerge(fork, on_conflict=wrong)
