"""Another installation's conversations in the store: whole or not seen, once, and with nothing left to do."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from openhands_sessions.adapters.openhands_installation import OpenHandsFolder
from openhands_sessions.core.dialogue import dialogue
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.events.own import TurnEndedObservation
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId
from openhands_sessions.core.snapshots import SPACING
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.installation import ForeignConversation, ForeignEvent, SkippedConversation
from openhands_sessions.ports.store import ConversationRow, SessionStore
from openhands_sessions.service.importing import Importer, ImportOutcome
from openhands_sessions.session.log_folding import folded
from tests.fakes.store import MortalStore
from tests.support.openhands_folder import SCENES, Talk, agreed, asking, cut_off, finished, long, refused, write

SID = ConversationId("ab" * 16)


class CutOff:
    """An installation that is lost behind so many batches."""

    def __init__(self, whole: OpenHandsFolder, batches: int) -> None:
        self._whole = whole
        self._batches = batches

    async def conversations(self) -> Sequence[ForeignConversation | SkippedConversation]:
        return await self._whole.conversations()

    async def metadata(self, theirs: ForeignConversation) -> Mapping[str, Any]:
        return await self._whole.metadata(theirs)

    async def newest(self, theirs: ForeignConversation) -> int:
        return await self._whole.newest(theirs)

    async def events(self, theirs: ForeignConversation, after: int) -> AsyncIterator[Sequence[ForeignEvent]]:
        left = self._batches
        async for batch in self._whole.events(theirs, after):
            if left == 0:
                raise asyncio.CancelledError
            left -= 1
            yield batch


async def imported(store: SessionStore, installation: OpenHandsFolder | CutOff) -> list[ImportOutcome]:
    importer = Importer(store, installation, LOCAL_OWNER, UTC)
    return [outcome async for outcome in importer.run(lambda total: None)]


async def kept(store: SessionStore, sid: ConversationId = SID) -> list[Event]:
    return [decode(entry.text) async for batch in store.log(sid).read() for entry in batch]


async def view(store: SessionStore) -> ConversationView:
    return await folded(store.log(SID), None)


@pytest.mark.parametrize("scene", SCENES)
async def test_whatever_a_log_ends_with_nothing_of_it_is_owed(store: SessionStore, tmp_path: Path, scene: Any) -> None:
    talk = Talk(SID)
    scene(talk)
    write(tmp_path, talk)
    [outcome] = await imported(store, OpenHandsFolder(tmp_path))
    assert (outcome.kind, outcome.events, outcome.problems) == ("imported", talk.next, [])
    now = await view(store)
    assert (now.owed, now.pending, now.open_actions, now.stopping, now.planned) == (False, None, (), None, ())
    assert now.agent_state not in ("running", "loading", "awaiting_user_confirmation")
    assert await store.held() == []


@pytest.mark.parametrize("scene", [finished, long, refused, agreed])
async def test_a_log_that_is_at_rest_is_only_told_that_its_turn_is_over(
    store: SessionStore, tmp_path: Path, scene: Any
) -> None:
    talk = Talk(SID)
    scene(talk)
    write(tmp_path, talk)
    await imported(store, OpenHandsFolder(tmp_path))
    added = (await kept(store))[talk.next :]
    assert [type(event).__name__ for event in added] == ["TurnEndedObservation"]


async def test_a_model_is_shown_each_call_once_with_what_it_was_given(store: SessionStore, tmp_path: Path) -> None:
    talk = Talk(SID)
    for scene in (finished, refused, cut_off):
        scene(talk)
    write(tmp_path, talk)
    await imported(store, OpenHandsFolder(tmp_path))
    shown = dialogue(await kept(store))
    calls = [call for each in shown for call in cast(list[Any], each.get("tool_calls", []))]
    assert [json.loads(call["function"]["arguments"]).get("command") for call in calls] == [
        "ls -la",
        None,
        "rm -rf build",
        "touch must-not-be",
    ]
    results = [each["content"] for each in shown if each["role"] == "tool"]
    assert results[2] == "Rejected."
    assert str(results[3]).startswith("The outcome is unknown")


async def test_a_conversation_is_not_seen_before_it_is_whole(store: SessionStore, tmp_path: Path) -> None:
    talk = Talk(SID)
    for _ in range(10):
        long(talk)
    asking(talk)
    write(tmp_path, talk)
    folder = OpenHandsFolder(tmp_path)
    assert talk.next > 600
    for batches in (0, 1, 3):
        with pytest.raises(asyncio.CancelledError):
            await imported(store, CutOff(folder, batches))
        assert await store.conversations.page(LOCAL_OWNER, limit=9) == []
        assert await store.log(SID).head() == batches * 200 - 1
    [outcome] = await imported(store, folder)
    assert (outcome.kind, outcome.events) == ("imported", talk.next)
    events = await kept(store)
    assert [event.id for event in events] == list(range(len(events)))
    [row] = await store.conversations.page(LOCAL_OWNER, limit=9)
    assert (row.id, row.created_at) == (SID, talk.begun)
    [again] = await imported(store, folder)
    assert (again.kind, len(await kept(store))) == ("there", len(events))


async def test_holes_and_bad_events_are_told_and_what_follows_closes_up(store: SessionStore, tmp_path: Path) -> None:
    talk = Talk(SID)
    finished(talk)
    folder = write(tmp_path, talk) / "events"
    for number in (2, 5, 6):
        (folder / f"{number}.json").unlink()
    (folder / "3.json").write_text("{")
    (folder / "7.json").write_text(json.dumps({"id": 7}))
    (folder / "12.json").write_text(json.dumps({"id": 99, "action": "teleport", "args": {}}))
    (folder / "13.json").write_text(json.dumps({"id": 13, "observation": "run", "cause": 8, "extras": {"command": 7}}))
    [outcome] = await imported(store, OpenHandsFolder(tmp_path))
    assert list(outcome.problems) == [
        "event 2 is missing",
        "event 3 is not JSON; skipped",
        "events 5 to 6 are missing",
        "event 7 is neither an action nor an observation; skipped",
        "2 events are of kinds that are not known here; kept as they are",
    ]
    events = await kept(store)
    assert [event.id for event in events] == list(range(len(events)))
    kinds = {event.id: type(event).__name__ for event in events}
    assert [(kinds[event.cause], kinds[event.id]) for event in events if event.cause is not None] == [
        ("RunAction", "RunObservation")
    ]


async def test_what_is_no_conversation_of_theirs_to_take_is_left_alone(store: SessionStore, tmp_path: Path) -> None:
    talk = Talk(SID)
    finished(talk)
    write(tmp_path, talk, created_at=None)
    write(tmp_path, replace(talk, sid="twice"))
    write(tmp_path, replace(talk, sid="twice"), place="users/ada/conversations")
    write(tmp_path, replace(talk, sid="ours"))
    write(tmp_path, replace(talk, sid="deleted"))
    (tmp_path / "sessions" / "bare").mkdir()
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for name in ("ours", "deleted"):
        row = ConversationRow(id=ConversationId(name), owner=LOCAL_OWNER, created_at=moment, updated_at=moment)
        await store.conversations.create(row)
    await store.conversations.delete(ConversationId("deleted"))
    told = {each.place: (each.kind, *each.problems) for each in await imported(store, OpenHandsFolder(tmp_path))}
    assert told == {
        f"sessions/{SID}": ("skipped", "metadata.json does not say when it was created"),
        "sessions/bare": ("skipped", "metadata.json is not there"),
        "sessions/deleted": ("skipped", "was deleted here, and stays so"),
        "sessions/ours": ("skipped", "has an id that a conversation of this server has already"),
        "sessions/twice": ("imported",),
        "users/ada/conversations/twice": ("skipped", "stands here twice; the first one counts"),
    }
    assert await store.log(ConversationId("ours")).head() == -1


@pytest.mark.parametrize("tries", [1, 2])
async def test_a_conversation_that_was_opened_here_stays_seen_when_it_has_grown_over_there(
    store: SessionStore, tmp_path: Path, tries: int
) -> None:
    talk = Talk(SID)
    finished(talk)
    write(tmp_path, talk)
    await imported(store, OpenHandsFolder(tmp_path))
    before = await kept(store)
    await store.release(SID, await store.claim(SID), talk.begun)  # a server has shown it, and written nothing
    long(talk)
    write(tmp_path, talk)
    for _ in range(tries):
        [outcome] = await imported(store, OpenHandsFolder(tmp_path))
        assert (outcome.kind, *outcome.problems) == (
            "skipped",
            "has more than was imported, and has been opened here since: it goes on here",
        )
    assert [row.id for row in await store.conversations.page(LOCAL_OWNER, limit=9)] == [SID]
    assert await kept(store) == before


@pytest.mark.parametrize("scene", [finished, asking, cut_off])
@pytest.mark.parametrize("stored", [True, False])
async def test_an_import_that_died_while_it_ended_a_log_takes_that_end_for_its_own(
    store: SessionStore, tmp_path: Path, scene: Any, stored: bool
) -> None:
    talk = Talk(SID)
    scene(talk)
    write(tmp_path, talk)
    mortal = MortalStore(store, dies_at=1, stored=stored)
    dying = asyncio.create_task(imported(mortal, OpenHandsFolder(tmp_path)))
    async with asyncio.timeout(20):
        await mortal.dead.wait()
        dying.cancel()
        await asyncio.wait([dying])
    assert await store.conversations.page(LOCAL_OWNER, limit=9) == []
    talk.says("are you there?")
    talk.replies("I am.")
    write(tmp_path, talk)
    [outcome] = await imported(store, OpenHandsFolder(tmp_path))
    assert (outcome.kind, outcome.events, outcome.problems) == ("continued", 6, [])
    events = await kept(store)
    assert [event.id for event in events] == list(range(len(events)))
    assert [event.content for event in events if isinstance(event, MessageAction)][-2:] == ["are you there?", "I am."]
    now = await view(store)
    assert (now.owed, now.pending, now.open_actions) == (False, None, ())
    assert len([event for event in events if isinstance(event, TurnEndedObservation)]) == 1 + stored


async def test_two_imports_at_once_double_nothing(store: SessionStore, tmp_path: Path) -> None:
    talk = Talk(SID)
    for _ in range(10):
        long(talk)
    write(tmp_path, talk)
    folder = OpenHandsFolder(tmp_path)
    outcomes = await asyncio.gather(imported(store, folder), imported(store, folder), return_exceptions=True)
    assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    await imported(store, folder)
    assert [event.id for event in await kept(store)][: talk.next] == list(range(talk.next))
    assert (await view(store)).owed is False
    assert len(await store.conversations.page(LOCAL_OWNER, limit=9)) == 1


async def test_a_long_log_that_was_imported_opens_from_a_snapshot(store: SessionStore, tmp_path: Path) -> None:
    talk = Talk(SID)
    talk.opening()
    while talk.next < SPACING + 5:
        talk.says("go on")
        talk.replies("I do.")
    write(tmp_path, talk)
    await imported(store, OpenHandsFolder(tmp_path))
    newest = await store.snapshots.load(SID)
    assert newest is not None
    assert newest.head == await store.log(SID).head()
    on_the_way = await store.snapshots.load(SID, EventId(newest.head - 1))
    assert on_the_way is not None
    for snapshot in (newest, on_the_way):
        assert await folded(store.log(SID), snapshot) == await view(store)
