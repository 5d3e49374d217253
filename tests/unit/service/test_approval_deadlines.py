"""What is not answered in time is rejected: in a live session, while it sleeps, and after a restart."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from openhands_sessions.core.commands import Answer, Decide, DecideCall, RejectOverdue, SendMessage
from openhands_sessions.core.errors import NotAccepting, RuntimeUnavailable, StaleDecision
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.events.observations import UserRejectedObservation
from openhands_sessions.core.events.own import ApprovalDecidedAction
from openhands_sessions.ports.gateway import PendingApproval
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.service.approval_deadlines import AGAIN
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.approvals import TOO_LATE
from tests.fakes.model import FakeModel, FakeModels, FakeReply
from tests.fakes.openings import DoorRuntimes, Doorway
from tests.support.log_invariant import check_log
from tests.support.service_layer import TALK, ServiceLayer, running_service
from tests.support.session_harness import LONG, events_of, only, outline, rest, runs, says, state
from tests.support.store_entries import NOW, read

ASKED = "awaiting_user_confirmation"
WAITS = "awaiting_user_input"
LIMIT = timedelta(seconds=60)
MOMENT = timedelta(seconds=1)
SETTINGS: dict[str, Any] = {"llm_model": "fake", "confirmation_mode": True, "approval_timeout": 60}


@dataclass(kw_only=True)
class TimedService(ServiceLayer):
    """`ahead` is how late it is."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return NOW + self.ahead

    def pass_by(self, time: timedelta) -> None:
        self.ahead += time
        self.directory.deadlines.look()


def layer(store: SessionStore, *replies: FakeReply, **more: Any) -> TimedService:
    return TimedService(store=store, models=FakeModels(FakeModel(replies)), layers=(SETTINGS,), **more)


@asynccontextmanager
async def timed(service: TimedService) -> AsyncIterator[TimedService]:
    """A service whose deadlines are looked after."""
    async with running_service(service):
        timer = asyncio.create_task(service.sessions.reject_overdue())
        try:
            yield service
        finally:
            timer.cancel()
            await asyncio.wait([timer])


async def asked(service: TimedService) -> tuple[AgentSession, PendingApproval]:
    session = await service.open()
    accepted = await service.gateway.submit(TALK, SendMessage(content="go"))
    await state(session, ASKED, accepted.id)
    await rest()
    approval = (await service.gateway.describe(TALK)).approval
    assert approval is not None
    return session, approval


async def events(store: SessionStore) -> Sequence[Event]:
    return [decode(entry.text, entry.schema) for entry in await read(store.log(TALK))]


async def has_happened(service: ServiceLayer, kind: type[Event]) -> None:
    """Wait for an event of this kind."""
    async with asyncio.timeout(LONG), aclosing(service.directory.feed(TALK).follow(-1)) as following:
        async for news in following:
            if only(events_of(news), kind):
                return


async def is_rejected(service: ServiceLayer, calls: int) -> None:
    """Wait until the agent waits again; the log says that no answer came."""
    await has_happened(service, ApprovalDecidedAction)
    await has_happened(service, UserRejectedObservation)
    found = await events(service.store)
    [decided] = only(found, ApprovalDecidedAction)
    assert (decided.expired, decided.source, decided.author) == (True, Source.ENVIRONMENT, None)
    assert [event.content for event in only(found, UserRejectedObservation)] == [TOO_LATE] * calls
    assert not any(line.startswith("ran") for line in outline(found))


async def test_the_deadline_rejects_all_that_is_open(store: SessionStore) -> None:
    async with timed(layer(store, runs("echo 1", "echo 2"), says("I see."))) as service:
        session, approval = await asked(service)
        assert approval.deadline == NOW + LIMIT
        service.pass_by(LIMIT - MOMENT)
        await rest()
        assert session.event_stream.view.approval is not None
        service.pass_by(MOMENT)
        await is_rejected(service, 2)
        accepted = await service.gateway.submit(TALK, SendMessage(content="hm"))
        await state(session, WAITS, accepted.id)
    check_log(await events(store))


async def test_what_was_approved_before_the_deadline_runs_then(store: SessionStore) -> None:
    async with timed(layer(store, runs("echo 1", "echo 2"), says("Done."))) as service:
        session, approval = await asked(service)
        yes = DecideCall(call=approval.batch, approved=True)
        accepted = await service.gateway.submit(TALK, Decide(batch=approval.batch, version=1, decisions=(yes,)))
        service.pass_by(LIMIT)
        await state(session, WAITS, accepted.id)
    told = outline(await events(store))
    assert "ran echo 1: 1\n [0]" in told
    assert [one.content for one in only(await events(store), UserRejectedObservation)] == [TOO_LATE]
    check_log(await events(store))


async def test_a_decision_in_time_counts_and_a_late_one_is_refused(store: SessionStore) -> None:
    async with timed(layer(store, runs("echo 1"), says("Done."), runs("echo 2"), says("Well."))) as service:
        session, approval = await asked(service)
        service.pass_by(LIMIT - MOMENT)
        in_time = Decide(batch=approval.batch, version=1, rest=True)
        accepted = await service.gateway.submit(TALK, in_time)
        service.pass_by(MOMENT)
        await state(session, WAITS, accepted.id)
        await rest()
        assert only(await events(store), ApprovalDecidedAction) == []
        with pytest.raises(NotAccepting):
            await session.submit(RejectOverdue())
    check_log(await events(store))


@pytest.mark.parametrize("answer", [Answer(confirmed=True), None])
async def test_it_is_too_late_also_before_the_timer_has_come(store: SessionStore, answer: Answer | None) -> None:
    service = layer(store, runs("echo 1"))
    async with running_service(service):
        _, approval = await asked(service)
        service.ahead = LIMIT
        command = answer or Decide(batch=approval.batch, version=1, rest=True)
        with pytest.raises(NotAccepting if answer else StaleDecision):
            await service.gateway.submit(TALK, command)
        await is_rejected(service, 1)
    check_log(await events(store))


async def test_of_a_decision_and_the_deadline_exactly_one_counts(store: SessionStore) -> None:
    service = layer(store, runs("echo 1"), says("Done."))
    async with running_service(service):
        session, approval = await asked(service)
        decide = Decide(batch=approval.batch, version=1, rest=True)
        service.ahead = LIMIT
        outcomes = await asyncio.gather(session.submit(RejectOverdue()), session.submit(decide), return_exceptions=True)
        assert [isinstance(one, NotAccepting) for one in outcomes] == [False, True]
        await is_rejected(service, 1)


async def test_it_holds_while_the_session_sleeps(store: SessionStore) -> None:
    async with timed(layer(store, runs("echo 1", "echo 2"), says("I see."))) as service:
        await asked(service)
        await service.directory.close(TALK, "idle")
        assert await store.approvals_due(10) == [(TALK, NOW + LIMIT)]
        service.pass_by(LIMIT)
        await is_rejected(service, 2)
        assert list(await store.approvals_due(10)) == []
    check_log(await events(store))


async def test_it_holds_while_no_server_runs(store: SessionStore) -> None:
    async with timed(layer(store, runs("echo 1"))) as service:
        await asked(service)
    later = layer(store, files=service.files)
    later.ahead = LIMIT
    async with timed(later):
        await is_rejected(later, 1)
    check_log(await events(store))


async def test_a_session_that_cannot_be_opened_is_tried_again(store: SessionStore) -> None:
    async with timed(layer(store, runs("echo 1"))) as service:
        await asked(service)
    door = Doorway(lambda: RuntimeUnavailable("the engine is away"))
    later = layer(store, files=service.files, runtimes=DoorRuntimes(door))
    later.ahead = LIMIT
    async with timed(later):
        async with asyncio.timeout(LONG):
            await door.entered.wait()
        await rest()
        assert only(await events(store), ApprovalDecidedAction) == []
        door.fault = None
        later.pass_by(AGAIN)
        await is_rejected(later, 1)


async def test_without_a_limit_there_is_no_deadline(store: SessionStore) -> None:
    service = layer(store, runs("echo 1"))
    async with running_service(service):
        await service.open(settings={"approval_timeout": 0})
        _, approval = await asked(service)
        assert approval.deadline is None
