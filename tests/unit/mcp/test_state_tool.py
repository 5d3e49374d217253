"""The tool by which an agent sees and changes states, over the real states of a conversation."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from openhands_sessions.adapters.mcp.state_tool import LONGEST_SHOWN, StateTool
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.state import StateChange, StateOp, StateOperation
from openhands_sessions.ports.mcp import CallMcp, McpDone
from openhands_sessions.ports.state import AgentStates, States, StateScope
from tests.fakes.memory_store import open_memory
from tests.support.service_layer import ServiceLayer, running_service

ADA, TALK = OwnerId("ada"), ConversationId("talk")


@pytest.fixture
async def states() -> AsyncIterator[States]:
    async with open_memory() as store, running_service(ServiceLayer(store=store)) as house:
        await house.open(TALK, ADA)
        yield house.of(ADA).states


def tool(states: States, *, writes: bool = True) -> StateTool:
    return StateTool(states, AgentStates(conversation=TALK, owner=ADA, app="shop", writes=writes))


async def call(states: States, id: str, **arguments: Any) -> McpDone:
    return await tool(states).call(CallMcp(name="state", arguments=arguments, key=id))


async def test_each_operation_says_what_it_has_led_to(states: States) -> None:
    made: list[dict[str, Any]] = [
        {"operation": "get"},
        {"operation": "set", "key": "topic", "value": {"name": "cats"}},
        {"operation": "incr", "key": "visits"},
        {"operation": "incr", "key": "visits", "value": 2},
        {"operation": "append", "key": "notes", "value": "one"},
        {"operation": "get", "key": "topic"},
        {"operation": "get"},
        {"operation": "delete", "key": "topic"},
        {"operation": "get", "key": "topic"},
    ]
    told = [await call(states, str(place), **each) for place, each in enumerate(made)]
    assert [(done.text, done.failed) for done in told] == [
        ("Nothing is set.", False),
        ('topic: {"name":"cats"}', False),
        ("visits: 1", False),
        ("visits: 3", False),
        ('notes: ["one"]', False),
        ('{"name":"cats"}', False),
        ('notes: ["one"]\ntopic: {"name":"cats"}\nvisits: 3', False),
        ("'topic' is not set.", False),
        ("'topic' is not set.", False),
    ]


async def test_a_call_that_is_made_again_counts_once(states: States) -> None:
    for _ in range(2):
        assert (await call(states, "talk-7", operation="incr", key="n")).text == "n: 1"
    assert (await call(states, "talk-8", operation="incr", key="n")).text == "n: 2"


async def test_the_states_of_the_user_and_the_app_are_read_and_not_changed(states: States) -> None:
    change = StateChange(
        id="1", operations=(StateOperation(StateOp.SET, "name", "Ada"),), actor=ADA, timestamp=datetime.now(UTC)
    )
    await states.change(StateScope.user(ADA), change)
    assert (await call(states, "1", operation="get", key="user:name")).text == '"Ada"'
    assert (await call(states, "2", operation="get")).text == 'user:name: "Ada"'
    assert (await call(states, "3", operation="get", key="app:name")).text == "'app:name' is not set."
    for key in ("user:name", "app:name"):
        refused = await call(states, "4", operation="set", key=key, value="Bob")
        assert (refused.failed, "can only be read" in refused.text) == (True, True)
    assert (await states.read(StateScope.user(ADA))).values() == {"name": "Ada"}


async def test_where_it_only_reads_it_offers_no_changes_and_makes_none(states: States) -> None:
    reading = tool(states, writes=False)
    [offered] = reading.functions
    assert (offered.name, offered.read_only, offered.idempotent) == ("state", True, True)
    assert offered.parameters["properties"] == {
        "operation": {"type": "string", "enum": ["get"]},
        "key": {"type": "string", "description": "Without one, `get` shows all keys."},
    }
    refused = await reading.call(CallMcp(name="state", arguments={"operation": "incr", "key": "n"}, key="1"))
    assert (refused.failed, refused.text) == (True, "Not done: operation must be get: the state can only be read here.")
    assert (await states.read(StateScope.session(TALK))).values() == {}


async def test_large_values_are_cut_beside_others_and_whole_by_their_key(states: States) -> None:
    long, large = "x" * 2 * LONGEST_SHOWN, "y" * 100_000
    told = await call(states, "1", operation="set", key="long", value=long)
    assert len(told.text) < LONGEST_SHOWN + 100
    assert "of 1,002 characters; get it by its key" in told.text
    assert (await call(states, "2", operation="set", key="large", value=large)).text.startswith("large: [a large value")
    assert len((await call(states, "3", operation="get")).text) < LONGEST_SHOWN + 200
    assert (await call(states, "4", operation="get", key="large")).text == f'"{large}"'
    refused = await call(states, "5", operation="append", key="large", value=1)
    assert (refused.failed, "can only be set or deleted" in refused.text) == (True, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "operation is required"),
        ({"operation": "push", "key": "k"}, "operation is wrong"),
        ({"operation": "set", "keys": "k"}, "keys is not known; did you mean 'key'?"),
        ({"operation": "set", "key": "k"}, "value is required"),
        ({"operation": "append", "key": "k"}, "value is required"),
        ({"operation": "set", "value": 1}, "key must be a text"),
        ({"operation": "get", "key": ""}, "key must be a text"),
        ({"operation": "get", "key": "user:"}, "must have a name"),
        ({"operation": "get", "key": "temp:k"}, "must not begin with temp:"),
        ({"operation": "incr", "key": "k", "value": "1"}, "value must be a number"),
        ({"operation": "append", "key": "n", "value": 1}, "must be a list"),
    ],
)
async def test_bad_arguments_are_answered_with_what_to_do_and_change_nothing(
    states: States, arguments: dict[str, Any], says: str
) -> None:
    await call(states, "1", operation="set", key="n", value=1)
    refused = await call(states, "2", **arguments)
    assert (refused.failed, refused.unknown) == (True, False)
    assert says in refused.text
    assert (await states.read(StateScope.session(TALK))).values() == {"n": 1}
