"""What lists and exports show, of one owner alone."""

import base64
from typing import Any

import orjson
import pytest

from openhands_sessions.core.errors import BadInput, NotFound, RuntimeUnavailable
from openhands_sessions.core.events.actions import MessageAction, RunAction
from openhands_sessions.core.events.codec import from_wire
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.core.masking import MASK
from openhands_sessions.ports.conversations import EventRange
from openhands_sessions.ports.runtime import RuntimeSpec
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from tests.fakes.runtime import FakeRuntimes
from tests.fakes.sandbox import FarRuntimes
from tests.support.log_pieces import run_result
from tests.support.service_layer import ADA, BOB, TALK, ServiceLayer, running_service
from tests.support.store_entries import ids, read


async def named(service: ServiceLayer, *names: str, owner: Any = LOCAL_OWNER) -> None:
    for name in names:
        await service.open(name, owner)
        await service.directory.close(ConversationId(name), "idle")


async def test_conversations_are_listed_page_by_page_the_newest_first(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await named(service, *"abcdefg")
        await named(service, "foreign", owner=BOB)
        seen: list[str] = []
        page_id: str | None = ""
        sizes = []
        while page_id is not None:
            page = await service.conversations.page(limit=3, page_id=page_id)
            seen += [info.id for info in page.conversations]
            sizes.append(len(page.conversations))
            page_id = page.next_page
        assert seen == list("gfedcba")
        assert sizes == [3, 3, 1]


async def test_a_page_that_is_just_full_is_the_last(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await named(service, "a", "b")
        page = await service.conversations.page(limit=2, page_id=None)
        assert (len(page.conversations), page.next_page) == (2, None)
        assert (await service.of(ADA).conversations.page(limit=2, page_id=None)).conversations == []


@pytest.mark.parametrize(
    "page_id",
    ["x", "é", "AAAA", "\ud800", *(base64.urlsafe_b64encode(text).decode() for text in (b"{}", b"[]", b"null"))]
    + [base64.urlsafe_b64encode(orjson.dumps({"v0": value})).decode() for value in (None, 7, [], ["x", "y"], [1, "a"])]
    + [base64.urlsafe_b64encode(orjson.dumps({"v0": ["2026-01-01T00:00:00", "../etc"]})).decode()]
    + [base64.urlsafe_b64encode(orjson.dumps({"v0": ["2026-01-01T00:00:00", "talk"]})).decode()],
)
async def test_a_page_that_no_list_gave_is_refused(store: SessionStore, page_id: str) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await named(service, "a")
        with pytest.raises(BadInput):
            await service.conversations.page(limit=3, page_id=page_id)


async def test_a_conversation_is_found_by_its_owner_alone(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await named(service, "talk", owner=ADA)
        await service.of(ADA).conversations.check(TALK)
        for owner in (BOB, LOCAL_OWNER):
            with pytest.raises(NotFound):
                await service.of(owner).conversations.check(TALK)
            with pytest.raises(NotFound):
                await service.of(owner).conversations.rename(TALK, "Mine")
            assert not await service.of(owner).conversations.delete(TALK)
        assert (await service.of(ADA).gateway.describe(TALK)).title == "Conversation talk"


@pytest.mark.parametrize("title", ["", "   ", "x" * 201])
async def test_a_title_has_bounds(store: SessionStore, title: str) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await named(service, "talk")
        with pytest.raises(BadInput) as refused:
            await service.conversations.rename(TALK, title)
        assert refused.value.field == "title"


async def test_a_conversation_is_renamed_and_without_a_title_named_after_its_id(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await named(service, "talk")
        assert (await service.gateway.describe(TALK)).title == "Conversation talk"
        await service.conversations.rename(TALK, "  Mine ")
        assert (await service.gateway.describe(TALK)).title == "Mine"


async def test_a_new_title_is_stored_without_the_owners_secrets(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open(settings={"llm_api_key": "topsecret"})
        shown = await service.conversations.rename(TALK, "with topsecret")
        assert shown == f"with {MASK}"
        assert (await service.gateway.describe(TALK)).title == shown


async def test_deleting_ends_the_session_and_leaves_nothing(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        session = await service.open(settings={"llm_api_key": "k"})
        assert session.runtime is not None
        await session.runtime.files.write("a", b"x")
        assert await service.conversations.delete(TALK)
        assert not await service.conversations.delete(TALK)
        assert session.state == "Closed"
        assert await read(store.log(TALK)) == []
        assert await service.files.list() == []
        assert (await service.conversations.page(limit=9, page_id=None)).conversations == []


async def test_a_conversation_whose_sandbox_could_not_be_deleted_can_be_deleted_again(store: SessionStore) -> None:
    runtimes = FarRuntimes(FakeRuntimes())
    async with running_service(ServiceLayer(store=store, runtimes=runtimes)) as service:
        session = await service.open(settings={"llm_api_key": "k"})
        assert session.runtime is not None
        await session.runtime.files.write("a", b"x")
        runtimes.cut.set()
        with pytest.raises(RuntimeUnavailable):
            await service.conversations.delete(TALK)
        runtimes.cut.clear()
        await service.conversations.check(TALK)
        assert await service.conversations.delete(TALK)
        assert not await service.conversations.delete(TALK)
        async with runtimes.open(RuntimeSpec(sid=TALK, term=9)) as runtime:
            assert await runtime.files.list() == []
    assert await service.files.list() == []


async def filled(service: ServiceLayer, count: int = 10) -> AgentSession:
    """A conversation with so many events."""
    session = await service.open()
    there = session.event_stream.view.head + 1
    await session.event_stream.append(*[MessageAction(content=str(number)) for number in range(count - there)])
    return session


@pytest.mark.parametrize(
    ("asked", "found", "more"),
    [
        ({"start": 0, "end": None, "reverse": False, "limit": 4}, [0, 1, 2, 3], True),
        ({"start": 6, "end": None, "reverse": False, "limit": 4}, [6, 7, 8, 9], False),
        ({"start": 0, "end": None, "reverse": True, "limit": 3}, [9, 8, 7], True),
        ({"start": 2, "end": 4, "reverse": False, "limit": 9}, [2, 3, 4], False),
        ({"start": 2, "end": 4, "reverse": True, "limit": 2}, [4, 3], True),
        ({"start": 4, "end": 4, "reverse": False, "limit": 1}, [4], False),
        ({"start": 20, "end": None, "reverse": False, "limit": 5}, [], False),
        ({"start": 5, "end": 2, "reverse": False, "limit": 5}, [], False),
    ],
)
async def test_events_are_read_by_page_in_both_directions(
    store: SessionStore, asked: dict[str, Any], found: list[int], more: bool
) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await filled(service)
        entries, further = await service.conversations.events(TALK, EventRange(**asked))
        assert (ids(entries), further) == (found, more)


async def exported_events(service: ServiceLayer) -> list[dict[str, Any]]:
    exported = orjson.loads(b"".join([chunk async for chunk in service.conversations.export(TALK)]))
    assert (exported["user_id"], exported["total_cost"]) == (LOCAL_OWNER, 0.0)
    events: list[dict[str, Any]] = exported["trajectory"]
    return events


async def test_a_trajectory_is_every_event_but_the_hidden(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        session = await filled(service, 6)
        shown = RunAction(command="echo '\"hidden\":true'")
        [hidden, _, _] = await session.event_stream.append(RunAction(command="ls", hidden=True), shown, shown)
        await session.event_stream.append(run_result(hidden, "x"))  # type: ignore[arg-type]  # it went in as an action
        found = [event["id"] for event in await exported_events(service)]
        assert found == [number for number in range(10) if number != hidden.id]


async def test_a_trajectory_has_pages_that_were_browsed_without_their_pictures_and_trees(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        session = await filled(service, 6)
        kept = {"url": "http://127.0.0.1:8000", "trigger_by_action": "browse", "error": False, "mine": [1]}
        heavy = {
            "dom_object": {"a": 1},
            "axtree_object": {"b": 2},
            "extra_element_properties": {"c": 3},
            "screenshot": "data:image/png;base64,AA",
            "set_of_marks": "data:image/png;base64,BB",
            "active_page_index": 1,
            "focused_element_bid": "12",
            "last_browser_action": "click",
            "last_browser_action_error": "no",
        }
        wire = {"source": "agent", "message": "", "observation": "browse", "content": "Hello é"}
        page = from_wire({**wire, "extras": {**kept, **heavy}})
        other = RunAction(command="look at observation:browse")
        [first, *_] = await session.event_stream.append(page, other, from_wire({**wire, "observation": "odd"}))
        shown = await exported_events(service)
        stored = [orjson.loads(entry.text) for entry in await read(store.log(TALK))]
        assert set(heavy) <= set(stored[first.id]["extras"])
        exported = shown[first.id]["extras"]
        assert not set(heavy) & set(exported)
        assert {key: exported[key] for key in kept} == kept
        stored[first.id]["extras"] = exported
        assert shown == stored
