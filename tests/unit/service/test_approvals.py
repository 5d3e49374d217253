"""What awaits an answer is described, and what a user always allows is remembered in the user's settings."""

from typing import Any

import pytest

from openhands_sessions.core.commands import Answer, Decide, DecideCall, SendMessage
from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.events.own import RuleScope
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId
from openhands_sessions.ports.gateway import PendingApproval
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.protocol.conversations import ConversationOut
from tests.fakes.model import FakeModel, FakeModels, FakeReply
from tests.support.service_layer import BOB, TALK, ServiceLayer, running_service
from tests.support.session_harness import rest, runs, says, state

ASKED = "awaiting_user_confirmation"
WAITS = "awaiting_user_input"
MODE: dict[str, Any] = {"llm_model": "fake", "confirmation_mode": True}


def layer(store: SessionStore, *replies: FakeReply, **more: Any) -> ServiceLayer:
    return ServiceLayer(store=store, models=FakeModels(FakeModel(replies)), layers=(MODE,), **more)


async def asked(service: ServiceLayer, sid: str = "talk") -> PendingApproval:
    session = await service.open(sid)
    accepted = await service.gateway.submit(ConversationId(sid), SendMessage(content="go"))
    await state(session, ASKED, accepted.id)
    approval = (await service.gateway.describe(ConversationId(sid))).approval
    assert approval is not None
    return approval


@pytest.mark.parametrize("live", [True, False])
async def test_a_description_has_the_calls_that_await_an_answer(store: SessionStore, live: bool) -> None:
    async with running_service(layer(store, runs("echo 1", "echo 2", "echo 3"))) as service:
        first = await asked(service)
        assert [(call.tool, call.arguments, call.risk) for call in first.calls] == [
            ("execute_bash", f'{{"command": "echo {number}"}}', -1) for number in (1, 2, 3)
        ]
        assert (first.batch, first.version, first.deadline) == (first.calls[0].event_id, 1, None)
        decision = DecideCall(call=first.calls[1].event_id, approved=True)
        await service.gateway.submit(TALK, Decide(batch=first.batch, version=1, decisions=(decision,)))
        if not live:
            await service.directory.close(TALK, "idle")
        info = await service.gateway.describe(TALK)
        assert info.approval is not None
        assert info.pending == first.batch
        assert (info.approval.version, [call.event_id for call in info.approval.calls]) == (
            2,
            [first.calls[0].event_id, first.calls[2].event_id],
        )


async def test_lists_show_a_question_whose_session_sleeps_until_it_is_stopped(store: SessionStore) -> None:
    async with running_service(layer(store, runs("echo 1"))) as service:
        first = await asked(service)
        await service.directory.close(TALK, "idle")
        page = await service.conversations.page(limit=1)
        [wire] = [ConversationOut.of(info) for info in page.conversations]
        assert (wire.status, wire.runtime_status, wire.url) == ("RUNNING", "STATUS$READY", "/api/conversations/talk")
        assert (wire.session.state, wire.session.agent_state, wire.session.pending) == (None, ASKED, first.batch)
        await service.gateway.close(TALK, "stopped")
        [stopped] = (await service.conversations.page(limit=1)).conversations
        assert (stopped.pending, ConversationOut.of(stopped).status) == (None, "STOPPED")
        assert len(service.directory) == 0


async def test_what_awaits_an_answer_keeps_no_session_from_closing(store: SessionStore) -> None:
    async with running_service(layer(store, runs("echo 1"), says("Done."), max_sessions=1)) as service:
        await asked(service)
        await rest()
        await service.open("other")
        assert service.directory.find(TALK) is None
        accepted = await service.gateway.submit(TALK, Answer(confirmed=True))
        session = service.directory.find(TALK)
        assert session is not None
        await state(session, WAITS, accepted.id)


async def test_what_a_user_always_allows_is_allowed_in_the_users_other_conversations(store: SessionStore) -> None:
    replies = (runs("echo *"), says("One."), runs("echo *"), says("Two."), runs("echo 2"))
    async with running_service(layer(store, *replies)) as service:
        approval = await asked(service)
        decision = DecideCall(call=approval.batch, approved=True, always=RuleScope.USER)
        decide = Decide(batch=approval.batch, version=1, decisions=(decision,))
        for _ in range(2):  # sent again, it takes effect once
            accepted = await service.gateway.submit(TALK, decide, key="once")
        session = service.directory.find(TALK)
        assert session is not None
        await state(session, WAITS, accepted.id)
        [rule] = (await service.settings.merged(LOCAL_OWNER, {})).confirmation_rules
        assert (rule.tool, rule.pattern, rule.decision) == ("execute_bash", "echo [*]", "allow")
        assert (await service.settings.merged(BOB, {})).confirmation_rules == ()
        other = await service.open("other")
        accepted = await service.gateway.submit(ConversationId("other"), SendMessage(content="go"))
        await state(other, WAITS, accepted.id)
        assert (await asked(service, "other")).calls[0].arguments == '{"command": "echo 2"}'


async def test_a_user_with_too_many_rules_is_told_so(store: SessionStore) -> None:
    async with running_service(layer(store, runs("echo 1"), says("Done."))) as service:
        rules: list[Any] = [{"tool": f"tool{number}", "decision": "ask"} for number in range(100)]
        await service.settings.store(LOCAL_OWNER, {"confirmation_rules": rules})
        await asked(service)
        with pytest.raises(BadInput, match="100 rules"):
            await service.gateway.submit(TALK, Answer(confirmed=True, always=RuleScope.USER))


async def test_settings_that_are_saved_without_rules_keep_them_and_an_empty_list_removes_them(
    store: SessionStore,
) -> None:
    service = layer(store)
    await service.settings.store(LOCAL_OWNER, {"confirmation_rules": [{"tool": "x", "decision": "deny"}]})
    await service.settings.store(LOCAL_OWNER, {"language": "de"})
    assert len((await service.settings.merged(LOCAL_OWNER, {})).confirmation_rules) == 1
    await service.settings.store(LOCAL_OWNER, {"confirmation_rules": []})
    assert (await service.settings.merged(LOCAL_OWNER, {})).confirmation_rules == ()


async def test_another_users_batch_is_unknown(store: SessionStore) -> None:
    async with running_service(layer(store, runs("echo 1"))) as service:
        approval = await asked(service)
        with pytest.raises(NotFound):
            await service.of(BOB).gateway.submit(TALK, Decide(batch=EventId(approval.batch), version=1, rest=True))
        assert (await service.gateway.describe(TALK)).approval == approval
