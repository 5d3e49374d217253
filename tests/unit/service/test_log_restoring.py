"""What the events of a file allow does not hold where the file is loaded."""

from collections.abc import Sequence
from typing import Any

import pytest

from openhands_sessions.core.budget import NO_BUDGET
from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.events.budget import (
    AutoApprovalRevokedAction,
    BudgetReservedAction,
    BudgetSetAction,
    ReservedCall,
    SpendingPausedAction,
)
from openhands_sessions.core.events.codec import Stored, decode, recorded
from openhands_sessions.core.events.event import ConfirmationState, Event, Source
from openhands_sessions.core.events.own import AlwaysAllowedAction, RuleScope
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.service.log_restoring import LoadedLog, LogRestoring, RestoreOutcome
from tests.fakes.model import FakeModel, FakeModels
from tests.support.moved_logs import views_of
from tests.support.service_layer import ADA, ServiceLayer, running_service
from tests.support.session_harness import runs, says, state
from tests.support.store_entries import NOW, read

LOADED = ConversationId("loaded")
GRANTS: Sequence[Event] = (
    AlwaysAllowedAction(source=Source.USER, tool="execute_bash", pattern="*", scope=RuleScope.CONVERSATION),
    BudgetSetAction(source=Source.USER, micro_dollars=10**12),
    BudgetReservedAction(response="r", calls=(ReservedCall(call="c", micro_dollars=5),)),
    SpendingPausedAction(spent=1, threshold=1, then=10**12, confirmation_state=ConfirmationState.CONFIRMED),
)
ASKED = "awaiting_user_confirmation"


def layer(store: SessionStore, *replies: Any) -> ServiceLayer:
    settings = {"llm_model": "fake", "confirmation_mode": True}
    return ServiceLayer(store=store, models=FakeModels(FakeModel(replies)), layers=(settings,))


async def say(service: ServiceLayer, sid: str, text: str, until: str = "awaiting_user_input") -> None:
    session = await service.open(sid, ADA)
    accepted = await service.of(ADA).gateway.submit(ConversationId(sid), SendMessage(content=text))
    await state(session, until, accepted.id)


def granting(entries: Sequence[Stored], grants: Sequence[Event] = GRANTS) -> Sequence[Stored]:
    """The log of a file in which somebody has written that calls may run."""
    written = (
        recorded(evolve(event, id=EventId(number), timestamp=NOW))[1]
        for number, event in enumerate(grants, len(entries))
    )
    return [*entries, *written]


async def load(service: ServiceLayer, entries: Sequence[Stored]) -> RestoreOutcome:
    file = LoadedLog(id=LOADED, owner=ADA, title="", trigger="gui", created_at=NOW, entries=entries)
    return (await LogRestoring(service.sessions).take_in(file))[0]


async def events(service: ServiceLayer) -> list[Event]:
    return [decode(entry.text, entry.schema) for entry in await read(service.store.log(LOADED))]


@pytest.mark.parametrize("known", [False, True])
async def test_what_a_file_always_allows_or_pays_for_does_not_hold_where_it_is_loaded(
    store: SessionStore, known: bool
) -> None:
    async with running_service(layer(store, says("one!"), runs("echo 2"))) as service:
        await say(service, "talk", "one")
        log = await read(store.log(ConversationId("talk")))
        if known:
            assert await load(service, log) is RestoreOutcome.CREATED
        assert await load(service, granting(log)) is (RestoreOutcome.CONTINUED if known else RestoreOutcome.CREATED)
        view = views_of(await events(service))[-1]
        assert (view.always_allowed, view.budget) == ((), NO_BUDGET)
        await say(service, "loaded", "two", ASKED)
        assert await load(service, granting(log)) is RestoreOutcome.KNOWN


@pytest.mark.parametrize("grant", GRANTS)
async def test_one_event_takes_back_whatever_a_file_grants(store: SessionStore, grant: Event) -> None:
    async with running_service(layer(store, says("one!"))) as service:
        await say(service, "talk", "one")
        await load(service, granting(await read(store.log(ConversationId("talk"))), [grant]))
        assert isinstance((await events(service))[-1], AutoApprovalRevokedAction)


async def test_a_file_that_grants_nothing_is_stored_as_it_is(store: SessionStore) -> None:
    async with running_service(layer(store, says("one!"))) as service:
        await say(service, "talk", "one")
        log = await read(store.log(ConversationId("talk")))
        await load(service, log)
        assert await read(store.log(LOADED)) == log
