"""The folder of an OpenHands: what is no conversation and what is no event is told, and not followed."""

import json
import os
from pathlib import Path

import pytest

from openhands_sessions.adapters import openhands_installation as openhands
from openhands_sessions.adapters.openhands_installation import OpenHandsFolder
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.installation import (
    ForeignConversation,
    ForeignEvent,
    SkippedConversation,
    UnreadableConversation,
)
from tests.support.openhands_folder import Talk, finished, write

SID = "ab" * 16
THEIRS = ForeignConversation(ConversationId(SID), f"sessions/{SID}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    talk = Talk(SID)
    finished(talk)
    write(tmp_path / "root", talk)
    return tmp_path / "root"


@pytest.fixture
def folder(root: Path) -> Path:
    return root / "sessions" / SID


async def test_conversations_of_every_user_are_found_and_the_rest_is_told(root: Path) -> None:
    (root / "sessions" / ".hidden").mkdir()
    (root / "sessions" / "a file").write_text("x")
    (root / "sessions" / "no id at all!").mkdir()
    outside = root.with_name("outside")
    outside.mkdir()
    (root / "sessions" / "beyond").symlink_to(outside)
    (root / "sessions" / "nowhere").symlink_to(root / "gone")
    (root / "sessions" / "alias").symlink_to(root / "sessions" / SID)
    (root / "users" / "ada" / "conversations" / "mine").mkdir(parents=True)
    (root / "users" / "bob").mkdir()
    found = await OpenHandsFolder(root).conversations()
    assert {each.place: each.why for each in found if isinstance(each, SkippedConversation)} == {
        "sessions/.hidden": "is hidden",
        "sessions/a file": "has a name that no conversation can have",
        "sessions/beyond": "is a link that leads out of the folder",
        "sessions/no id at all!": "has a name that no conversation can have",
        "sessions/nowhere": "is not there",
        "users/bob": "has no conversations",
    }
    assert [each.place for each in found if isinstance(each, ForeignConversation)] == [
        f"sessions/{SID}",
        "sessions/alias",
        "users/ada/conversations/mine",
    ]


async def test_it_is_the_folder_that_is_at_fault_where_it_cannot_be_looked_at(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="FOLDER cannot be read: File name too long"):
        await OpenHandsFolder(tmp_path / ("x" * 300)).conversations()


async def test_a_folder_without_conversations_is_refused(tmp_path: Path) -> None:
    for named in (tmp_path, tmp_path / "gone"):
        with pytest.raises(BadInput):
            await OpenHandsFolder(named).conversations()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "is not there"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not a JSON object"),
        ('"\ud800"'.encode("utf-8", "surrogatepass"), "is not JSON"),
        (" " * (openhands.LARGEST_METADATA + 1), "has more than 1 MB"),
    ],
    ids=["missing", "cut off", "deep", "list", "not utf-8", "huge"],
)
async def test_metadata_that_cannot_be_read_is_told(
    root: Path, folder: Path, text: str | bytes | None, why: str
) -> None:
    path = folder / "metadata.json"
    path.unlink()
    if text is not None:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UnreadableConversation) as told:
        await OpenHandsFolder(root).metadata(THEIRS)
    assert str(told.value) == why


async def test_events_come_by_number_and_each_that_cannot_be_read_says_why(root: Path, folder: Path) -> None:
    events = folder / "events"
    secret = root.with_name("secret.json")
    secret.write_text(json.dumps({"action": "message"}))
    (events / "3.json").write_text("{")
    (events / "4.json").unlink()
    (events / "4.json").symlink_to(secret)
    (events / "5.json").unlink()
    os.mkfifo(events / "5.json")
    (events / "6.json").unlink()
    with (events / "6.json").open("wb") as huge:
        huge.truncate(openhands.LARGEST_EVENT + 1)
    (events / "7.json").unlink()
    (events / "1000.json").write_text('{"id": 1000, "action": "null"}')
    for name in ("01.json", "-1.json", "8.json.tmp", "x.json", f"{'9' * 40}.json"):
        (events / name).write_text("{}")
    installation = OpenHandsFolder(root)
    found = [entry async for batch in installation.events(THEIRS, 1) for entry in batch]
    assert [entry.number for entry in found] == [2, 3, 4, 5, 6, *range(8, 12), 1000]
    assert {entry.number: entry.problem for entry in found if entry.wire is None} == {
        3: "is not JSON",
        4: "is a link that leads out of the folder",
        5: "is not a file",
        6: "has more than 32 MB",
    }
    assert await installation.newest(THEIRS) == 1000


async def test_what_only_python_takes_for_json_is_read(root: Path, folder: Path) -> None:
    event = {"id": 3, "observation": "run", "content": "half an emoji \ud83d", "extras": {"cost": float("inf")}}
    (folder / "events" / "3.json").write_text(json.dumps(event))
    found = [entry async for batch in OpenHandsFolder(root).events(THEIRS, 2) for entry in batch]
    assert found[0] == ForeignEvent(3, {**event, "content": "half an emoji \ufffd", "extras": {"cost": None}})


async def test_batches_are_bounded_by_number_and_by_size(root: Path, folder: Path) -> None:
    for number in range(12, 500):
        (folder / "events" / f"{number}.json").write_text("{}")
    for number in (1, 2, 3):
        (folder / "events" / f"{number}.json").write_text(json.dumps({"content": "x" * openhands.BATCH_BYTES}))
    sizes = [len(batch) async for batch in OpenHandsFolder(root).events(THEIRS, -1)]
    assert sizes == [2, 1, 1, 200, 200, 96]
    assert sum(sizes) == 500


async def test_a_conversation_without_events_has_none(root: Path) -> None:
    (root / "sessions" / "empty").mkdir()
    empty = ForeignConversation(ConversationId("empty"), "sessions/empty")
    assert await OpenHandsFolder(root).newest(empty) == -1
    assert [batch async for batch in OpenHandsFolder(root).events(empty, -1)] == []
