"""Conversations that are shared: what guests may do, what it costs whom, and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from openhands_sessions.core.commands import Answer, SendMessage, SetModel, Stop
from openhands_sessions.core.errors import BadInput, Forbidden, LimitReached, NotFound, SessionsError, Unauthorized
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.own import RuleScope
from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.access import Access, Principal, Role
from openhands_sessions.ports.conversations import EventRange
from openhands_sessions.ports.gateway import SessionEnded, SessionSpec
from openhands_sessions.ports.sharing import NewLink
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.service.local_sharing import MOST_SHARES, LocalSharing
from tests.fakes.model import FakeModel, FakeModels
from tests.support.list_reader import reading_list
from tests.support.service_layer import ADA, BOB, TALK, ServiceLayer, running_service
from tests.support.session_harness import LONG, says, state

VIEW, WRITE, OWN = Permission
FAKE = {"llm_model": "fake"}


async def guest(service: ServiceLayer, link: NewLink, sid: ConversationId = TALK) -> Access:
    """Who has a link."""
    read = await service.links.read(link.token)
    assert read.conversation == sid
    return service.by_link(read)


async def refused(asked: Coroutine[Any, Any, object], error: type[SessionsError]) -> str:
    with pytest.raises(error) as told:
        await asked
    return str(told.value)


async def following(access: Access, sid: ConversationId = TALK) -> "asyncio.Task[str | None]":
    """Follows until it is sent away; the reason."""
    begun = asyncio.Event()

    async def follow() -> str | None:
        try:
            async with access.gateway.follow(sid, -1) as items:
                async for _ in items:
                    begun.set()
        except SessionEnded as end:
            return end.reason
        return None

    task = asyncio.create_task(follow())
    async with asyncio.timeout(LONG):
        await begun.wait()
    return task


async def reason(task: "asyncio.Task[str | None]") -> str | None:
    async with asyncio.timeout(LONG):
        return await task


async def test_a_viewer_sees_everything_and_changes_nothing(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open(owner=ADA, title="Mine")
        ada, bob = service.of(ADA), service.of(BOB)
        await refused(bob.gateway.describe(TALK), NotFound)
        await ada.sharing.grant(TALK, BOB, VIEW)
        info = await bob.gateway.describe(TALK)
        assert (info.owner, info.title, info.permission) == (ADA, "Mine", VIEW)
        assert (await bob.conversations.events(TALK, EventRange()))[0]
        assert await bob.workspaces.list_files(TALK) is not None
        assert await bob.conversations.mark_read(TALK, EventId(0)) == 0
        told = await refused(bob.gateway.submit(TALK, SendMessage(content="hi")), Forbidden)
        assert "ask its owner to let you write" in told
        await refused(bob.gateway.close(TALK, "stopped"), Forbidden)
        await refused(bob.workspaces.upload(TALK, "x", _nothing()), Forbidden)
        await refused(bob.conversations.rename(TALK, "Yours"), Forbidden)
        await refused(bob.conversations.delete(TALK), Forbidden)
        await refused(bob.sharing.shares(TALK), Forbidden)
        assert (await ada.gateway.describe(TALK)).title == "Mine"


async def test_a_writer_speaks_in_its_own_name_with_the_owners_model(store: SessionStore) -> None:
    models = FakeModels(FakeModel([says("Hello.")]))
    async with running_service(ServiceLayer(store=store, models=models)) as service:
        session = await service.open(owner=ADA, settings=FAKE)
        ada, bob = service.of(ADA), service.of(BOB)
        await ada.sharing.grant(TALK, BOB, WRITE)
        said = await bob.gateway.submit(TALK, SendMessage(content="hi"))
        await state(session, "awaiting_user_input")
        [stored] = (await ada.conversations.events(TALK, EventRange(start=said.id, limit=1)))[0]
        message = decode(stored.text, stored.schema)
        assert isinstance(message, MessageAction)
        assert message.author == BOB
        assert (await bob.gateway.describe(TALK)).model == "fake"
        for owners in (SetModel("fake"), Answer(confirmed=True, always=RuleScope.CONVERSATION)):
            assert "the owner" in await refused(bob.gateway.submit(TALK, owners), Forbidden)
        await refused(bob.conversations.delete(TALK), Forbidden)
        await refused(bob.sharing.new_link(TALK, VIEW, 60), Forbidden)
        await bob.gateway.submit(TALK, Stop())
        await bob.gateway.close(TALK, "stopped")


async def test_a_session_that_a_guest_opens_takes_its_owners_place(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store, per_user=1, per_address=1)) as service:
        await service.open(owner=ADA)
        await service.of(ADA).sharing.grant(TALK, BOB, VIEW)
        await service.of(ADA).gateway.close(TALK, "stopped")
        bob = service.of(BOB, "1.2.3.4")
        await bob.gateway.open(SessionSpec(id=TALK))
        await bob.gateway.open(SessionSpec(id=ConversationId("bobs"), create=True))
        assert {*service.directory.live} == {TALK, "bobs"}


async def test_a_guest_who_is_let_in_no_more_is_sent_away(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open(owner=ADA)
        ada, bob = service.of(ADA), service.of(BOB)
        await ada.sharing.grant(TALK, BOB, WRITE)
        link = await ada.sharing.new_link(TALK, VIEW, 60)
        other = await ada.sharing.new_link(TALK, VIEW, 60)
        linked, spared = await guest(service, link), await guest(service, other)
        tasks = [await following(each) for each in (bob, linked, spared, ada)]
        names = sorted((ADA, BOB, f"link:{link.share.grantee.name}", f"link:{other.share.grantee.name}"))
        assert list((await ada.gateway.describe(TALK)).watchers) == names
        await ada.sharing.grant(TALK, BOB, VIEW)
        await ada.sharing.revoke(TALK, BOB)
        assert await reason(tasks[0]) == "revoked"
        await refused(bob.gateway.describe(TALK), NotFound)
        await ada.sharing.revoke_link(TALK, link.share.grantee.name)
        assert await reason(tasks[1]) == "revoked"
        assert "revoked" in await refused(linked.gateway.describe(TALK), Unauthorized)
        assert not tasks[2].done()
        assert not tasks[3].done()
        assert len((await ada.gateway.describe(TALK)).watchers) == 2
        await ada.gateway.close(TALK, "stopped")
        assert [await reason(task) for task in tasks[2:]] == ["stopped", "stopped"]
        assert (await ada.gateway.describe(TALK)).watchers == ()


async def test_a_link_opens_one_conversation_and_makes_none(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open(owner=ADA)
        await service.open("other", owner=ADA)
        linked = await guest(service, await service.of(ADA).sharing.new_link(TALK, WRITE, 60))
        assert (await linked.gateway.open(SessionSpec(id=TALK))).permission is WRITE
        for sid in ("other", "unknown"):
            spec = SessionSpec(id=ConversationId(sid), create=True)
            assert await refused(linked.gateway.open(spec), NotFound) == f"conversation {sid!r} not found"
        assert (await linked.conversations.page(limit=10, count=True)).total == 0


async def test_a_user_who_is_called_like_a_link_is_not_the_link(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open(owner=ADA)
        link = await service.of(ADA).sharing.new_link(TALK, WRITE, 60)
        name = OwnerId(link.share.grantee.name)
        for called in (name, OwnerId(f"link:{name}")):
            await refused(service.of(called).gateway.describe(TALK), NotFound)
        await service.of(ADA).sharing.grant(TALK, name, VIEW)
        assert (await service.of(name).gateway.describe(TALK)).permission is VIEW
        assert (await (await guest(service, link)).gateway.describe(TALK)).permission is WRITE


async def test_the_list_of_a_guest_has_what_is_shared_with_it_as_it_changes(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        for sid in ("one", "two", "three"):
            await service.open(sid, ADA)
        await service.open("own", BOB)
        ada, bob = service.of(ADA), service.of(BOB)
        one, two = ConversationId("one"), ConversationId("two")
        await ada.sharing.grant(one, BOB, VIEW)
        async with reading_list(bob.conversations) as reader:
            assert set(reader.rows) == {"one", "own"}
            assert {sid: info.permission for sid, info in reader.rows.items()} == {"one": VIEW, "own": OWN}
            await ada.sharing.grant(two, BOB, WRITE)
            await reader.until(lambda: two in reader.rows and reader.rows[two].permission is WRITE)
            await ada.conversations.rename(one, "New")
            await reader.until(lambda: reader.rows[one].title == "New")
            await ada.gateway.close(two, "stopped")
            await reader.until(lambda: reader.rows[two].state is None)
            await ada.sharing.revoke(one, BOB)
            await reader.until(lambda: one not in reader.rows)
            await ada.conversations.delete(two)
            await reader.until(lambda: two not in reader.rows)
            assert set(reader.rows) == {"own"}


async def test_an_owners_list_shows_who_else_watches(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open(owner=ADA)
        await service.of(ADA).sharing.grant(TALK, BOB, VIEW)
        async with reading_list(service.of(ADA).conversations) as reader:
            assert reader.rows[TALK].watchers == ()
            task = await following(service.of(BOB))
            await reader.until(lambda: reader.rows[TALK].watchers == (BOB,))
            await service.of(ADA).sharing.revoke(TALK, BOB)
            await reason(task)
            await reader.until(lambda: reader.rows[TALK].watchers == ())


async def test_pages_of_ones_own_and_of_others_are_one_list(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        for number in range(6):
            owner = (ADA, BOB)[number % 2]
            await service.open(f"c{number}", owner)
            if owner == ADA:
                await service.of(ADA).sharing.grant(ConversationId(f"c{number}"), BOB, VIEW)
        found: list[str] = []
        page_id: str | None = None
        for _ in range(3):
            page = await service.of(BOB).conversations.page(limit=2, page_id=page_id, count=True)
            found, page_id = [*found, *(info.id for info in page.conversations)], page.next_page
            assert page.total == 6
        assert (found, page_id) == ([f"c{number}" for number in reversed(range(6))], None)


async def test_what_can_be_shared_with_nobody_says_why(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open(owner=ADA)
        sharing = service.of(ADA).sharing
        assert "is the owner" in await refused(sharing.grant(TALK, ADA, VIEW), BadInput)
        for user in ("", " bob", "x" * 200, "link:abc", "b\nob"):
            assert (await refused(sharing.grant(TALK, OwnerId(user), VIEW), BadInput)).startswith("user must")
        await refused(sharing.grant(ConversationId("unknown"), OwnerId(""), VIEW), NotFound)
        assert await sharing.shares(TALK) == []


async def test_no_conversation_is_shared_with_more_than_may(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open(owner=ADA)
        sharing = service.of(ADA).sharing
        for number in range(MOST_SHARES):
            await sharing.grant(TALK, OwnerId(f"user-{number}"), VIEW)
        await refused(sharing.new_link(TALK, VIEW, 60), LimitReached)
        await refused(sharing.grant(TALK, BOB, VIEW), LimitReached)
        await sharing.grant(TALK, OwnerId("user-8"), WRITE)
        await sharing.revoke(TALK, OwnerId("user-7"))
        await sharing.new_link(TALK, VIEW, 60)


async def test_where_users_are_not_told_apart_none_is_let_in(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open(owner=ADA)
        ada = Principal(owner=ADA, role=Role.USER)
        sharing = LocalSharing(service.sessions, service.links, ada, users_apart=False)
        assert "make a link" in await refused(sharing.grant(TALK, BOB, VIEW), BadInput)


async def _nothing() -> AsyncIterator[bytes]:
    for chunk in (b"",):
        yield chunk
