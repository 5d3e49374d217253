"""Messages over the socket: what is written without validation is what the models read."""

from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from openhands_sessions.core.events.event import AgentState, Json
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.gateway import Accepted, Delta, Status
from openhands_sessions.ports.operations import Overview, SessionLimits, SessionStatus
from openhands_sessions.protocol.errors import Acknowledgement
from openhands_sessions.protocol.operators import OperatorOverview, OperatorStatus
from openhands_sessions.protocol.socket_messages import AuthIn, DeltaOut, StatusUpdate, epoch_of

STATUS = SessionStatus(
    number=4,
    conversation_id=ConversationId("talk"),
    owner=LOCAL_OWNER,
    state=SessionState.READY,
    agent_state=AgentState.AWAITING_USER_INPUT,
    head=EventId(7),
    followers=1,
    cost=0.25,
    at=datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
)
SHOWN: dict[str, Json] = {
    "number": 4,
    "conversation_id": "talk",
    "owner": "local",
    "state": "Ready",
    "agent_state": "awaiting_user_input",
    "head": 7,
    "followers": 1,
    "cost": 0.25,
    "at": "2026-01-02T03:04:05.000006Z",
    "problem": None,
}

ACCEPTED = Accepted(EventId(0), EventId(0))


@pytest.mark.parametrize("delta", [Delta("reply", "", 0, ""), Delta("output", "k", 7, "text", restart=True)], ids=repr)
def test_a_delta_is_read_as_it_was_written(delta: Delta) -> None:
    wire = DeltaOut.of(delta)
    assert DeltaOut.model_validate(wire, extra="forbid").delta() == delta
    assert ("restart" in wire) == delta.restart


@pytest.mark.parametrize(
    "status", [Status("info", "STATUS$READY", ""), Status("error", None, "no disk"), Status("error", "ID", "words")]
)
def test_a_status_is_read_as_it_was_written(status: Status) -> None:
    wire = StatusUpdate.of(status, "talk").wire()
    assert wire == {"status_update": True, "type": status.level, "id": status.id, "message": status.message}
    assert StatusUpdate.model_validate(wire).status() == status


def test_a_new_title_is_told_with_the_conversation() -> None:
    wire = StatusUpdate.of(Status("info", None, "", title="New"), "talk").wire()
    assert wire == {"status_update": True, "type": "info", "message": "talk", "conversation_title": "New"}


def test_operators_are_shown_what_the_board_holds() -> None:
    shown = OperatorStatus.model_validate(STATUS, from_attributes=True).wire()
    assert shown == SHOWN
    assert list(shown) == list(SHOWN)
    overview = OperatorOverview.of(Overview(4, (STATUS,)), SessionLimits(total=7, per_user=2), draining=True)
    limits = {"max_sessions": 7, "max_sessions_per_user": 2, "max_sessions_per_address": None}
    assert overview.wire() == {"number": 4, "sessions": [SHOWN], "limits": limits, "draining": True}


@pytest.mark.parametrize(
    ("kind", "wire"),
    [
        (Acknowledgement, Acknowledgement.accepting(Accepted(EventId(0), EventId(0)))),
        (AuthIn, AuthIn(protocol=2, after=-1).wire()),
    ],
)
def test_only_what_is_given_is_written(kind: type[BaseModel], wire: dict[str, Json]) -> None:
    assert kind.model_validate(wire).model_fields_set == wire.keys()


def test_an_epoch_names_one_log() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    assert epoch_of(moment) != epoch_of(moment.replace(microsecond=7))
