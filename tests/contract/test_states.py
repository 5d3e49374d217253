"""What every States keeps, here or on another server."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from openhands_sessions.core.errors import BadInput, NotFound, RevisionConflict, TooLarge, UnstorableValue
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.core.state import StateChange, StateOp, StateOperation
from openhands_sessions.ports.state import StateScope
from tests.support.gateway_kinds import SID, Kind, new

SESSION, USER, APP = StateScope.session(SID), StateScope.user(LOCAL_OWNER), StateScope("app", "shop")
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
ADD = StateOperation(StateOp.INCR, "n", 1)


def change(*operations: StateOperation, id: str | None = None, **bases: int) -> StateChange:
    given = uuid4().hex if id is None else id
    return StateChange(id=given, operations=operations, actor="x", timestamp=NOON, bases=bases)


def setting(key: str, value: Json) -> StateOperation:
    return StateOperation(StateOp.SET, key, value)


@pytest.mark.parametrize("scope", [SESSION, USER, APP])
async def test_a_state_is_changed_and_read_alike_from_here_and_from_afar(kind: Kind, scope: StateScope) -> None:
    await new(kind.gateway)
    states = kind.states
    first = await states.change(scope, change(setting("k", {"a": [1, None]}), ADD, id="one"))
    assert (first.revision, {key: entry and entry.value for key, entry in first.entries.items()}) == (
        1,
        {"k": {"a": [1, None]}, "n": 1},
    )
    await states.change(scope, change(setting("k", {"a": [1, None]}), ADD, id="one"))
    done = await states.change(scope, change(StateOperation(StateOp.DELETE, "k"), ADD))
    assert done.entries["k"] is None
    state = await states.read(scope)
    assert (state.revision, state.values()) == (2, {"n": 2})
    assert state.entries["n"] == done.entries["n"]
    [one, other] = await states.changes(scope, limit=5)
    assert (one.revision, one.change.id, one.change.actor) == (1, "one", LOCAL_OWNER)
    assert one.change.operations == (setting("k", {"a": [1, None]}), ADD)
    assert one.change.timestamp > NOON
    assert [each.revision for each in await states.changes(scope, after=1, limit=1)] == [other.revision] == [2]


async def test_what_is_refused_says_why(kind: Kind) -> None:
    await new(kind.gateway)
    states = kind.states
    await states.change(SESSION, change(setting("k", "text")))
    with pytest.raises(RevisionConflict) as raised:
        await states.change(SESSION, change(setting("k", 1), k=0))
    assert raised.value.key == "k"
    with pytest.raises(RevisionConflict):
        await states.change(SESSION, change(StateOperation(StateOp.COMPARE_AND_SET, "k", 1, expected="other")))
    with pytest.raises(BadInput, match="number"):
        await states.change(SESSION, change(StateOperation(StateOp.INCR, "k", 1)))
    with pytest.raises(BadInput, match="id must not be 'fork'"):
        await states.change(SESSION, change(setting("k", 1), id="fork"))
    await states.change(APP, change(setting("k", 1), id="one"))
    with pytest.raises(BadInput, match="another change"):
        await states.change(APP, change(setting("k", 2), id="one"))
    with pytest.raises(UnstorableValue):
        await states.change(SESSION, change(setting("k", float("nan"))))
    with pytest.raises(TooLarge):
        await states.change(SESSION, change(*(setting(f"k{number}", "x" * 60_000) for number in range(5))))
    assert (await states.read(SESSION)).values() == {"k": "text"}


async def test_a_large_value_is_read_by_its_key(kind: Kind) -> None:
    await new(kind.gateway)
    await kind.states.change(SESSION, change(setting("large", ["x" * 100_000]), setting("k", 1)))
    state = await kind.states.read(SESSION)
    assert state.values() == {"k": 1}
    assert state.entries["large"].file is not None
    assert await kind.states.file(SESSION, "large") == ["x" * 100_000]
    with pytest.raises(NotFound):
        await kind.states.file(SESSION, "nothing")


async def test_a_state_that_is_not_the_callers_is_an_unknown_one(kind: Kind) -> None:
    unknown = StateScope.session(ConversationId("unknown"))
    with pytest.raises(NotFound):
        await kind.states.read(unknown)
    with pytest.raises(NotFound):
        await kind.states.change(unknown, change(ADD))
    await new(kind.gateway)
    await kind.states.change(SESSION, change(setting("large", ["x" * 100_000])))
    assert await kind.conversations.delete(SID)
    with pytest.raises(NotFound):
        await kind.states.read(SESSION)
    folders = await kind.house.files.list("conversations")
    assert not [file for file in folders if "state" in file]
