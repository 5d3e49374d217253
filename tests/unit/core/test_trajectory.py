"""What of a trajectory is issued again, and what is no trajectory."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import EditAction, MessageAction, RunAction
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.events.observations import (
    NOT_RUN_ID,
    ErrorObservation,
    ReadObservation,
    RunMetadata,
    RunObservation,
)
from openhands_sessions.core.trajectory import TrajectoryStep, dump_steps, goes_on, load_steps, read_trajectory
from tests.support.recorded_traffic import Recording


def recorded(name: str) -> Sequence[dict[str, Any]]:
    """As the reference exports it."""
    return Recording.read(name).events


def said(text: str, source: str = "user") -> dict[str, Any]:
    return {"id": 0, "source": source, "message": text, "action": "message", "args": {"content": text}}


def run(number: int, command: str = "ls", **args: Any) -> dict[str, Any]:
    about = {"function_name": "execute_bash", "tool_call_id": f"call{number}", "model_response": {}}
    whole = {"command": command, **args}
    return {"id": number, "source": "agent", "action": "run", "tool_call_metadata": about, "args": whole}


def steps_of(*entries: Any) -> tuple[TrajectoryStep, ...]:
    return read_trajectory(json.dumps([said("go"), *entries])).steps


def test_a_recording_is_read_unedited() -> None:
    trajectory = read_trajectory(json.dumps(recorded("01_new_message_commands_finish")))
    assert trajectory.message.content == "please do it [[basic]]"
    kinds = [(step.action.KIND, step.outcome, step.exit_code) for step in trajectory.steps]
    assert kinds == [
        ("run", "run", 0),
        ("run", "run", 0),
        ("finish", None, None),
        ("message", None, None),
        ("think", "think", None),
        ("finish", None, None),
    ]


def test_an_answer_that_holds_the_list_is_one_too() -> None:
    events = recorded("02_initial_user_msg_edit_tools")
    assert read_trajectory(json.dumps({"trajectory": events})) == read_trajectory(json.dumps(events))


def test_what_the_user_refused_is_not_issued_and_what_was_agreed_to_once() -> None:
    steps = read_trajectory(json.dumps(recorded("03_confirmation_mode"))).steps
    [agreed, message, _] = [step.action for step in steps]
    assert isinstance(agreed, RunAction)
    assert (agreed.command, bool(agreed.thought)) == ("echo CONFIRM-ONE-MARK", True)
    assert isinstance(message, MessageAction)
    assert (message.content, message.source) == ("go on", Source.USER)


def test_of_several_outcomes_the_last_one_counts() -> None:
    steps = read_trajectory(json.dumps(recorded("04_stop_and_resume"))).steps
    stopped = [step for step in steps if isinstance(step.action, RunAction) and "MARK-2" in step.action.command]
    assert [(step.outcome, step.exit_code) for step in stopped] == [("run", 0)]


@pytest.mark.parametrize(
    "entry",
    [
        {**run(1), "source": "environment"},
        run(1, confirmation_state="rejected"),
        run(1, confirmation_state="awaiting_confirmation"),
        {"id": 1, "source": "agent", "action": "system", "args": {"content": "x"}},
        {"id": 1, "source": "user", "action": "recall", "args": {"recall_type": "knowledge"}},
        {"id": 1, "source": "user", "action": "change_agent_state", "args": {"agent_state": "stopped"}},
        {"id": 1, "source": "agent", "action": "null", "args": {}},
        {"id": 1, "source": "agent", "action": "condensation", "args": {"summary": "x"}},
        {"id": 1, "source": "agent", "action": "tool_calls", "args": {"response_id": "r", "calls": []}},
        {"id": 1, "source": "environment", "observation": "anything", "content": "", "extras": {}},
        said("  ", "agent"),
    ],
)
def test_what_was_not_done_by_anybody_is_not_done_again(entry: dict[str, Any]) -> None:
    assert steps_of(entry) == ()


def test_an_image_without_words_is_shown_again() -> None:
    picture = said("")
    picture["args"]["image_urls"] = ["data:image/png;base64,AA"]
    assert read_trajectory(json.dumps([picture])).message.image_urls == ("data:image/png;base64,AA",)
    [step] = steps_of(picture)
    assert isinstance(step.action, MessageAction)


def test_what_never_ran_is_not_run() -> None:
    never = {"id": 2, "observation": "error", "cause": 1, "content": "", "extras": {"error_id": NOT_RUN_ID}}
    assert steps_of(run(1), never) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not JSON"),
        ("[{", "not JSON"),
        ('"text"', "list of events"),
        ("7", "list of events"),
        ('{"events": []}', "list of events"),
        ("[]", "no message of the user"),
        (json.dumps([run(1)]), "no message of the user"),
        (json.dumps([said("x", "agent")]), "no message of the user"),
        ("[1]", "entry 0"),
        ('[{"id": 1}]', "entry 0"),
        ('[{"observation": ["run"]}]', "entry 0"),
        ('[{"observation": "run", "extras": 1}]', "entry 0"),
        ('[{"observation": "run", "extras": {"metadata": []}}]', "entry 0"),
        (json.dumps([said("go"), {"action": "dance"}]), "entry 1 is an action of an unknown kind: 'dance'"),
        (json.dumps([said("go"), {"action": ["run"]}]), "entry 1"),
        (json.dumps([said("go"), {"action": "run", "args": {"command": 1}, "source": "agent"}]), "entry 1"),
        (json.dumps([said("go"), {"action": "run", "args": [], "source": "agent"}]), "entry 1"),
        (json.dumps([said("go"), {"action": "run", "args": {"command": "x"}, "source": "who"}]), "entry 1"),
        (json.dumps([said("x" * 1_000_001)]), "entry 0 must not be longer"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_trajectory_is_refused_by_its_name(text: str, told: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_trajectory(text)
    assert refused.value.field == "replay_json"
    assert told in refused.value.message


def test_an_odd_cause_or_id_is_passed_over() -> None:
    odd = {"id": [], "observation": "run", "cause": {"a": 1}, "content": "", "extras": {"metadata": {"exit_code": "0"}}}
    [step] = steps_of({**run(1), "id": {}}, odd)
    assert (step.outcome, step.exit_code) == (None, None)


def test_steps_are_kept_as_they_were_read() -> None:
    for name in ("01_new_message_commands_finish", "02_initial_user_msg_edit_tools", "03_confirmation_mode"):
        steps = read_trajectory(json.dumps(recorded(name))).steps
        assert load_steps(dump_steps(steps)) == steps
    with pytest.raises(ValueError, match="not an action"):
        load_steps(b'[{"action": {"action": "dance"}, "outcome": null, "exit_code": null}]')


@pytest.mark.parametrize(
    ("outcome", "code", "now", "told"),
    [
        (None, None, 1, None),
        ("run", 0, 0, None),
        ("run", None, 1, None),
        ("run", 0, 2, "recorded was exit code 0, now it is 2"),
        ("error", None, 0, "recorded was the outcome `error`, now it is `run`"),
    ],
)
def test_a_difference_is_another_kind_or_another_exit_code(
    outcome: str | None, code: int | None, now: int, told: str | None
) -> None:
    step = TrajectoryStep(action=RunAction(command="ls"), outcome=outcome, exit_code=code)
    assert step.difference(RunObservation(command="ls", content="else", metadata=RunMetadata(exit_code=now))) == told


def test_of_files_only_the_kind_is_compared() -> None:
    step = TrajectoryStep(action=EditAction(path="a"), outcome="read")
    assert step.difference(ReadObservation(path="a", content="else")) is None
    assert step.difference(ErrorObservation(content="gone")) is not None


def test_only_continue_has_a_replay_go_on() -> None:
    assert goes_on(" Continue\n")
    assert not goes_on("continue with the tests")


def test_what_was_taken_back_is_not_issued_again() -> None:
    moved = {
        "id": 3,
        "observation": "history_moved",
        "content": "",
        "extras": {"to": 1, "reason": "undo", "branch": "main"},
    }
    steps = steps_of(run(1, "kept"), run(2, "taken back"), moved, run(4, "said instead"))
    assert [step.action.command for step in steps if isinstance(step.action, RunAction)] == ["kept", "said instead"]


@pytest.mark.parametrize("extras", [None, [], "x", {}, {"to": "1"}, {"to": 3}, {"to": -1}])
def test_a_move_that_names_no_earlier_event_takes_nothing_back(extras: Any) -> None:
    moved = {"id": 3, "observation": "history_moved", "content": "", "extras": {"to": None}}
    steps = steps_of(run(1), run(2), {**moved, "extras": extras} if isinstance(extras, dict) else moved)
    assert len(steps) == 2


def test_moves_out_of_order_are_refused() -> None:
    moved = {"id": 3, "observation": "history_moved", "content": "", "extras": {"to": 1}}
    with pytest.raises(BadInput, match="order"):
        steps_of(run(1), run(2), moved, moved)


def test_a_compaction_is_no_step() -> None:
    told = {"events_before": 9, "events_after": 5, "characters_before": 9, "characters_after": 5, "told": "Compacted."}
    assert steps_of({"id": 1, "source": "user", "action": "history_compacted", "args": told}, run(2)) == steps_of(
        run(2)
    )
