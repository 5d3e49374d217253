"""Events to JSON text and back, for every kind and for text of any origin."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.core.errors import StorageError
from openhands_sessions.core.events.actions import (
    McpAction,
    MessageAction,
    RunAction,
    TaskItem,
    TaskTrackingAction,
    WriteAction,
)
from openhands_sessions.core.events.codec import SCHEMA, decode, encode, kind_of, recorded, stored, timestamp_text
from openhands_sessions.core.events.event import ConfirmationState, Event, ToolCall, Unknown
from openhands_sessions.core.events.observations import RunMetadata, RunObservation, ThinkObservation
from openhands_sessions.core.ids import EventId
from tests.unit.core.strategies import ANY_TEXT, KINDS, any_event, events_of, json_objects

GOLDEN = Path(__file__).parents[2] / "golden"
RECORDED = (GOLDEN / "recorded_events.jsonl").read_text().splitlines()
WRITTEN = (GOLDEN / "written_events.jsonl").read_text().splitlines()
"""Made from lists of fields, some of them shortened: kinds that were not recorded."""
NOON = datetime(2026, 11, 20, 12, 0, 0, 5, tzinfo=UTC)


def wire(event: Event) -> dict[str, Any]:
    found = orjson.loads(encode(event))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__mro__[1].__name__}:{kind.KIND}")
def test_every_kind_comes_back_as_it_was(kind: type[Event]) -> None:
    @given(events_of(kind))
    @settings(max_examples=12, deadline=None)
    def holds(event: Event) -> None:
        assert decode(encode(event)) == event

    holds()


@given(any_event(ANY_TEXT))
@settings(max_examples=60, deadline=None)
def test_no_text_is_too_odd_to_be_stored(event: Event) -> None:
    text = encode(event)
    text.encode()
    again = decode(text)
    assert type(again) is type(event)
    assert encode(again) == text


def kind_in(text: str) -> str:
    return kind_of(decode(text))


@pytest.mark.parametrize("text", [*RECORDED, *WRITTEN], ids=kind_in)
def test_an_event_of_the_reference_comes_back_key_for_key(text: str) -> None:
    said = orjson.loads(text)
    event = decode(text, schema=0)
    assert not isinstance(event, Unknown)
    again = wire(event)
    assert again.pop("timestamp") == said.pop("timestamp") + "Z"
    for body in {"args", "extras"} & said.keys():
        assert said[body].items() <= again[body].items()
        assert text in WRITTEN or said[body] == again[body]
    assert {key: again[key] for key in said if key not in ("args", "extras")} == {
        key: value for key, value in said.items() if key not in ("args", "extras")
    }
    assert again.keys() == said.keys()
    assert decode(encode(event)) == event


@pytest.mark.parametrize(
    "text",
    [
        '{"id":3,"source":"agent","action":"dance","args":{"steps":[1,2]},"mood":"good"}',
        '{"id":3,"source":"agent","observation":"danced","content":"well","extras":{}}',
        '{"id":3,"action":"run","args":{"command":7}}',
        '{"id":3,"action":"run","args":"ls"}',
        '{"id":3,"action":"run","args":{"command":"ls"},"source":"martian"}',
        '{"id":3,"action":"message","args":{"content":"x"},"cause":"soon"}',
        '{"id":3,"observation":"agent_state_changed","content":"","extras":{"agent_state":"dancing"}}',
        '{"id":3,"observation":"run","content":["x"],"extras":{"command":"ls"}}',
        '{"id":3,"action":null,"observation":"run"}',
        '{"id":3}',
    ],
)
def test_what_is_not_understood_is_kept_whole_and_passed_on(text: str) -> None:
    event = decode(text)
    assert isinstance(event, Unknown)
    assert event.id == 3
    assert orjson.loads(encode(event)) == orjson.loads(text)
    assert orjson.loads(encode(replace(event, id=EventId(9)))) == orjson.loads(text) | {"id": 9}


def test_an_unknown_entry_is_named_by_its_kind_all_the_same() -> None:
    assert stored(decode('{"id":0,"action":"dance"}')).kind == "action:dance"
    assert stored(decode('{"id":0,"observation":"danced"}')).kind == "observation:danced"
    assert stored(MessageAction(content="x")).kind == "action:message"
    assert stored(ThinkObservation()).kind == "observation:think"


@given(json_objects(), st.integers(0, SCHEMA))
@settings(max_examples=150, deadline=None)
def test_any_object_with_an_id_is_an_event(found: dict[str, Any], schema: int) -> None:
    event = decode(orjson.dumps(found | {"id": 1}), schema)
    assert event.id == 1
    encode(event)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"id":1',
        "[]",
        "null",
        "7",
        "{}",
        '{"id":null}',
        '{"id":"1"}',
        '{"id":1.5}',
        '{"id":true}',
        '{"id":1}x',
    ],
)
def test_a_damaged_entry_is_called_so(text: str) -> None:
    with pytest.raises(StorageError, match="damaged"):
        decode(text)


def test_keys_that_no_field_is_for_are_kept_wherever_they_stand() -> None:
    text = (
        '{"id":4,"timestamp":"2026-11-20T12:00:00.000005Z","source":"agent","message":"Running command: ls",'
        '"timeout":60.0,"content":"beside","extras":{"a":1},"success":null,"action":"run","args":{"command":"ls","colour":{"r":[1,null]}}}'
    )
    again = wire(decode(text))
    for key in ("timeout", "content", "extras", "success"):
        assert again[key] == orjson.loads(text)[key]
    assert again["args"]["colour"] == {"r": [1, None]}


def test_an_observation_keeps_what_actions_would_say_elsewhere() -> None:
    text = '{"id":4,"source":"agent","observation":"think","content":"","extras":{},"args":{"x":1},"success":true}'
    again = wire(decode(text))
    assert (again["args"], again["success"]) == ({"x": 1}, True)


def test_the_message_of_a_foreign_version_is_kept_and_our_own_is_not_stored_twice() -> None:
    foreign = decode('{"id":1,"message":"Befehl: ls","action":"run","args":{"command":"ls"}}')
    assert foreign.message == "Befehl: ls"
    assert wire(foreign)["message"] == "Befehl: ls"
    ours = RunAction(command="ls")
    assert decode(encode(ours)).message is None


def test_what_json_cannot_hold_is_replaced_and_nothing_else() -> None:
    found = wire(
        McpAction(
            name="a\ud800b",
            arguments={
                "huge": 10**400,
                "big": 2**70,
                "small": -(2**70),
                "fits": 2**63 - 1,
                "nan": float("nan"),
                "k\udfff": ["\ud83d"],
            },
        )
    )
    assert found["args"]["name"] == "a\ufffdb"
    given = found["args"]["arguments"]
    assert given == {
        "huge": None,
        "big": 2.0**70,
        "small": -(2.0**70),
        "fits": 2**63 - 1,
        "nan": None,
        "k\ufffd": ["\ufffd"],
    }


def test_what_is_replaced_is_found_at_any_depth() -> None:
    plan = TaskTrackingAction(task_list=(TaskItem(id="1", title="a\ud800"),), rest={"x": {"y": [{"z": 2**64}]}})
    again = decode(encode(plan))
    assert isinstance(again, TaskTrackingAction)
    assert again.task_list[0].title == "a\ufffd"
    assert again.rest == {"x": {"y": [{"z": 2.0**64}]}}
    inner: Any = MappingProxyType({"b": 1})
    frozen = McpAction(name="f", arguments=MappingProxyType({"a": inner}))
    assert wire(frozen)["args"]["arguments"] == {"a": {"b": 1}}


def test_what_is_no_json_at_all_is_our_mistake() -> None:
    with pytest.raises(TypeError):
        encode(McpAction(name="f", arguments={"a": object()}))  # type: ignore[dict-item]


def test_an_event_is_seen_live_as_it_will_be_read_later() -> None:
    event = MessageAction(id=EventId(4), content="a\ud800b", rest={"many": 2**80})
    seen, entry = recorded(event)
    assert seen == decode(entry.text)
    assert (seen.id, entry.kind, seen.describe()) == (4, "action:message", "a\ufffdb")
    plain = MessageAction(content="ab")
    assert recorded(plain)[0] is plain


@pytest.mark.parametrize("depth", [100, 250, 300, 1_000, 5_000])
def test_no_nesting_is_too_deep_to_be_stored(depth: int) -> None:
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    text = encode(McpAction(name="deep", arguments={"value": value}))
    event = decode(text)
    assert isinstance(event, McpAction)
    assert encode(event) == text
    assert depth > 200 or event.arguments == {"value": value}


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, "2026-11-20T12:00:00.000005Z"),
        (NOON.replace(microsecond=0), "2026-11-20T12:00:00.000000Z"),
        (NOON.astimezone(timezone(timedelta(hours=5, minutes=30))), "2026-11-20T12:00:00.000005Z"),
    ],
)
def test_times_are_said_in_utc_with_microseconds_and_a_z(moment: datetime, text: str) -> None:
    assert timestamp_text(moment) == text
    assert decode(encode(MessageAction(content="x", timestamp=moment))).timestamp == moment


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("2026-11-20T12:00:00.000005", NOON),
        ("2026-11-20T12:00:00.000005Z", NOON),
        ("2026-11-20T14:00:00.000005+02:00", NOON),
        ("0001-01-01T00:00:00+14:00", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59-14:00", datetime(1970, 1, 1, tzinfo=UTC)),
        ("soon", datetime(1970, 1, 1, tzinfo=UTC)),
        (None, datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("schema", [0, 1])
def test_a_time_of_the_reference_is_taken_as_utc(said: str | None, read: datetime, schema: int) -> None:
    text = orjson.dumps({"id": 0, "timestamp": said, "action": "message", "args": {"content": "x"}})
    event = decode(text, schema)
    assert event.timestamp == read
    assert decode(encode(event)).timestamp == read


def test_a_command_that_ended_well_is_called_a_success() -> None:
    assert wire(RunObservation(command="true", metadata=RunMetadata(exit_code=0)))["success"] is True
    assert wire(RunObservation(command="false", metadata=RunMetadata(exit_code=1)))["success"] is False


def test_the_arguments_of_a_call_are_kept_as_the_model_wrote_them() -> None:
    call = ToolCall(function_name="f", tool_call_id="c", model_response={"id": "r"}, arguments='{"a": 1 ')
    event = decode(encode(RunAction(command="ls", tool_call_metadata=call)))
    assert event.tool_call_metadata == call


@pytest.mark.parametrize("state", ConfirmationState)
def test_the_wire_says_confirmed_only_where_the_reference_says_it(state: ConfirmationState) -> None:
    action = WriteAction(path="a", content="b", confirmation_state=state)
    said = wire(action)["args"]
    assert said.get("confirmation_state") == (None if state is ConfirmationState.CONFIRMED else state)
    assert decode(encode(action)) == action
