"""What REST shows of a conversation, by which the V0 client goes."""

import pytest

from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId
from openhands_sessions.core.lifecycle import SET_UP, SessionState
from openhands_sessions.ports.gateway import SessionInfo
from openhands_sessions.protocol.conversations import ConversationOut
from openhands_sessions.protocol.statuses import OWN_STATUSES, V0_STATUSES
from openhands_sessions.service.session_descriptions import runtime_status
from tests.support.store_entries import NOW

S = SessionState


def info(state: SessionState | None) -> SessionInfo:
    return SessionInfo(
        id=ConversationId("talk"),
        owner=LOCAL_OWNER,
        title="Talk",
        created_at=NOW,
        updated_at=NOW,
        trigger="gui",
        state=state,
        agent_state=None,
        runtime_status=None if state is None else runtime_status(state),
        head=EventId(-1),
        last_state=EventId(-1),
        followers=0,
    )


@pytest.mark.parametrize("state", S)
def test_the_v0_client_is_shown_statuses_that_it_knows_and_others_the_exact_ones(state: SessionState) -> None:
    shown = ConversationOut.of(info(state)).wire()
    assert shown["runtime_status"] in V0_STATUSES
    exact = shown["session"]["runtime_status"]  # type: ignore[index,call-overload]  # it is a mapping
    assert exact == runtime_status(state)
    assert exact == shown["runtime_status"] or (state in (S.CREATED, *SET_UP) and exact in OWN_STATUSES)


@pytest.mark.parametrize("state", [None, *S])
def test_a_socket_may_be_opened_where_the_session_is_set_up_or_has_failed(state: SessionState | None) -> None:
    shown = ConversationOut.of(info(state)).wire()
    opens = shown["status"] == "RUNNING" and shown["runtime_status"] not in (None, "STATUS$STOPPED")
    assert opens == (state in (S.READY, S.RUNNING, S.ERROR))
    assert (shown["status"] == "STARTING") == (state in (S.CREATED, *SET_UP))
