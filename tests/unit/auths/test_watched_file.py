"""A file is read again when it has changed, also where the system tells nothing."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from openhands_sessions.adapters.auths.watched_file import LOOK_EVERY, WatchedFile
from openhands_sessions.core.errors import BadInput

WITHIN = 20.0


def read(path: Path) -> str:
    text = path.read_text()
    if text == "damaged":
        raise BadInput("the file", "is damaged")
    return text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_text("first")
    return file


async def test_it_is_looked_at_when_it_is_asked_for_and_time_has_passed(path: Path) -> None:
    now, changes = [0.0], []
    watched = WatchedFile(path, read, lambda: changes.append("changed"), lambda: now[0])
    path.write_text("the second")
    await watched.refresh()
    assert (watched.value, changes) == ("first", [])
    now[0] += LOOK_EVERY
    await watched.refresh()
    assert (watched.value, changes) == ("the second", ["changed"])
    now[0] += LOOK_EVERY
    await watched.refresh()
    assert changes == ["changed"]


async def test_a_change_is_noticed_although_nobody_asks(path: Path) -> None:
    changed = asyncio.Event()
    watched = WatchedFile(path, read, changed.set, lambda: 0.0)
    async with watched.noticed(), asyncio.timeout(WITHIN):
        for text in ("the second", "and the third"):
            changed.clear()
            unfinished = path.with_suffix(".new")
            unfinished.write_text(text)
            unfinished.replace(path)
            while watched.value != text:
                await changed.wait()
                changed.clear()


async def test_one_that_cannot_be_used_is_told_once_and_leaves_what_was_there(path: Path) -> None:
    now = [0.0]
    watched = WatchedFile(path, read, lambda: None, lambda: now[0])
    path.write_text("damaged")
    with capture_logs() as lines:
        for _ in range(3):
            now[0] += LOOK_EVERY
            await watched.refresh()
    assert watched.value == "first"
    assert [(line["log_level"], line["problem"]) for line in lines] == [("error", "the file is damaged")]
    path.write_text("good again")
    now[0] += LOOK_EVERY
    await watched.refresh()
    assert watched.value == "good again"


async def test_a_folder_that_cannot_be_watched_is_no_obstacle(path: Path) -> None:
    watched = WatchedFile(path, read, lambda: None)
    path.unlink()
    path.parent.rmdir()
    with capture_logs() as lines:
        async with watched.noticed():
            assert watched.value == "first"
    assert [line["event"] for line in lines] == ["changes of a file are noticed late"]
