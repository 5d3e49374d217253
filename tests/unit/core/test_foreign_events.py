"""Another installation's numbers, times and names as ours."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_sessions.core.events.actions import CondensationAction, RunAction
from openhands_sessions.core.events.codec import timestamp_text
from openhands_sessions.core.events.event import Unknown
from openhands_sessions.core.foreign_events import EventNumbering, event_of, metadata_of
from openhands_sessions.core.repository import Repository

OTHERWISE = datetime(2025, 1, 1, tzinfo=UTC)
ZONE = timezone(timedelta(hours=2))


@given(st.sets(st.integers(0, 60), min_size=1), st.sets(st.integers(0, 60)))
def test_numbers_are_found_again_and_kept_in_runs(theirs: set[int], offsets: set[int]) -> None:
    numbering, expected, ours = EventNumbering(), dict[int, int](), 0
    for number in sorted(theirs):
        ours += 2 if ours in offsets else 1  # ours has events in between that are not theirs
        numbering.add(number, ours)
        expected[number] = ours
    again = EventNumbering(numbering.dump())
    for number in range(-1, 62):
        assert again.ours(number) == expected.get(number)
        below = [mine for their, mine in expected.items() if their <= number]
        above = [mine for their, mine in expected.items() if their >= number]
        assert (again.at_most(number), again.at_least(number)) == (max(below, default=None), min(above, default=None))


def test_a_log_without_holes_is_one_run() -> None:
    numbering = EventNumbering()
    for number in range(1000):
        numbering.add(number, number)
    assert numbering.dump() == [[0, 0, 1000]]
    assert EventNumbering("nonsense").dump() == EventNumbering([[1, 2], "x", [1, 2, None]]).dump() == []


@pytest.fixture
def numbering() -> EventNumbering:
    """Theirs has no 3, and from 10 to 19."""
    found = EventNumbering()
    for ours, theirs in enumerate([0, 1, 2, *range(4, 10), *range(20, 30)]):
        found.add(theirs, ours)
    return found


def read(numbering: EventNumbering, **wire: Any) -> Any:
    return event_of({"source": "agent", "message": "", **wire}, 19, numbering, ZONE, OTHERWISE)


def test_what_names_events_names_them_by_our_numbers(numbering: EventNumbering) -> None:
    seen = {"observation": "run", "content": "", "extras": {"command": "ls"}}
    assert read(numbering, cause=20, **seen).cause == 9
    assert read(numbering, cause=3, **seen).cause is None
    assert read(numbering, cause="x", **seen).cause is None
    args = {"forgotten_events_start_id": 3, "forgotten_events_end_id": 15, "forgotten_event_ids": [2, 3, 4]}
    condensation = read(numbering, action="condensation", args=args)
    assert isinstance(condensation, CondensationAction)
    assert (condensation.forgotten_events_start_id, condensation.forgotten_events_end_id) == (3, 8)
    assert condensation.forgotten_event_ids == (2, 3)
    gone = {"forgotten_events_start_id": 11, "forgotten_events_end_id": 15}
    assert read(numbering, action="condensation", args=gone).forgotten_events_start_id is None


def test_a_time_without_a_zone_is_of_the_zone_and_none_at_all_is_that_before(numbering: EventNumbering) -> None:
    for told, text in (
        ("2025-11-03T09:00:00.123456", "2025-11-03T07:00:00.123456Z"),
        ("2025-11-03T09:00:00+00:00", "2025-11-03T09:00:00.000000Z"),
        ("0001-01-01T00:00:00", timestamp_text(OTHERWISE)),
        ("yesterday", timestamp_text(OTHERWISE)),
        (None, timestamp_text(OTHERWISE)),
    ):
        assert timestamp_text(read(numbering, timestamp=told, action="null", args={}).timestamp) == text


def test_a_call_is_given_what_the_model_said(numbering: EventNumbering) -> None:
    said = {"id": "c2", "function": {"name": "execute_bash", "arguments": '{"command": "ls"}'}}
    reply = {"id": "r", "choices": [{"message": {"tool_calls": [{**said, "id": "c1"}, said]}}]}
    call = {"function_name": "execute_bash", "tool_call_id": "c2", "model_response": reply}
    run = {"action": "run", "args": {"command": "ls"}}
    for told, arguments in (
        (call, '{"command": "ls"}'),
        ({**call, "model_response": {}}, ""),
        ({**call, "model_response": {"choices": [{"message": {"tool_calls": None}}]}}, ""),
        ({**call, "model_response": [1]}, ""),
        ({**call, "arguments": "{}"}, "{}"),
    ):
        event = read(numbering, tool_call_metadata=told, **run)
        if isinstance(event, RunAction):
            assert event.tool_call_metadata is not None
            assert event.tool_call_metadata.arguments == arguments
        else:
            assert isinstance(event, Unknown)
            assert told["model_response"] == [1]


def test_an_unknown_kind_is_kept_whole_under_our_number(numbering: EventNumbering) -> None:
    event = read(numbering, action="teleport", args={"to": "mars"}, cause=20)
    assert isinstance(event, Unknown)
    assert (event.id, event.wire["args"], event.wire["cause"], event.wire["id"]) == (19, {"to": "mars"}, 9, 19)


def test_metadata_without_the_time_of_its_making_is_none() -> None:
    assert metadata_of({"title": "x"}, "abcdef") is None
    assert metadata_of({"created_at": 5}, "abcdef") is None
    made = {"created_at": "2025-11-03T09:00:00+00:00"}
    found = metadata_of({**made, "title": "Conversation abcde", "trigger": 7, "pr_number": None}, "abcdef")
    assert found is not None
    assert (found.title, found.trigger, found.updated_at) == (None, "gui", found.created_at)
    told = {"title": f" {'t' * 300}", "trigger": "slack", "selected_repository": "a/b", "selected_branch": "\ud800"}
    found = metadata_of({**made, **told, "last_updated_at": "2025-11-03T10:00:00"}, "abcdef")
    assert found is not None
    assert found.title == "t" * 200
    assert found.repository == Repository(name="a/b", branch="?")
    assert (found.updated_at - found.created_at) == timedelta(hours=1)
