"""The form of scripts."""

import pytest

from openhands_sessions.adapters.models.script import Script, read_script
from openhands_sessions.core.errors import ModelFailure

GOOD = """
name: good
replies:
  - when: hello
    steps:
      - say: Hi
  - when: /^\\d+$/
    steps:
      - say: A number
  - steps:
      - call: ls
        with: {path: "{{n}}"}
        repeat: 2
      - say: First
  - steps:
      - say: Second
"""


def good() -> Script:
    return read_script(GOOD, "good.yaml")


@pytest.mark.parametrize(
    ("text", "line", "field", "problem"),
    [
        ("name: x\nreplies: []\n", 2, "replies", "at least 1 item"),
        ("name: x\nreplies:\n  - steps:\n      - sya: hi\n", 4, "replies.0.steps.0.sya", "not permitted"),
        ("name: x\nreplies:\n  - steps:\n      - delay: 1\n", 4, "replies.0.steps.0", "says, calls or fails"),
        (
            "name: x\nreplies:\n  - steps:\n      - say: a\n      - say: b\n",
            3,
            "replies.0",
            "only the last step may be without a call",
        ),
        (
            "name: x\nreplies:\n  - steps:\n      - say: a\n        with: {}\n",
            4,
            "replies.0.steps.0",
            "with belongs to a call",
        ),
        (
            "name: x\nreplies:\n  - steps:\n      - call: a\n        calls: [{call: b}]\n",
            4,
            "replies.0.steps.0",
            "either call or calls",
        ),
        (
            "name: x\nreplies:\n  - steps:\n      - call: a\n        fail: {status: 500}\n",
            4,
            "replies.0.steps.0",
            "calls nothing",
        ),
        ("name: x\nreplies:\n  - steps:\n      - fail: {}\n", 4, "replies.0.steps.0.fail", "either a status or an id"),
        ("name: x\nreplies:\n  - steps:\n      - fail: {status: 200}\n", 4, "fail.status", "greater than or equal"),
        ("name: x\nreplies:\n  - when: /(/\n    steps: [{say: a}]\n", 3, "replies.0.when", "not a regular expression"),
        ("name: x\nreplies: [\n", 3, "it is not YAML", "expected the node content"),
        ("- 1\n", 1, "the script", "valid dictionary"),
        ("", 1, "name", "required"),
    ],
)
def test_a_bad_script_is_told_with_line_and_field(text: str, line: int, field: str, problem: str) -> None:
    with pytest.raises(ModelFailure) as failed:
        read_script(text, "bad.yaml")
    assert f"bad.yaml, line {line}: " in failed.value.message
    assert field in failed.value.message
    assert problem in failed.value.message


def test_yaml_that_would_make_objects_is_refused() -> None:
    with pytest.raises(ModelFailure):
        read_script("!!python/object/apply:os.getcwd []", "bad.yaml")


def test_text_and_patterns_choose_without_regard_to_case() -> None:
    assert good().choose(["well, HELLO there"]) == 0
    assert good().choose(["42"]) == 1


def test_exchanges_that_want_nothing_are_taken_in_order() -> None:
    assert good().choose(["a"]) == 2
    assert good().choose(["a", "hello", "b"]) == 3
    assert good().choose(["a", "b", "c"]) is None
    assert good().choose(["a", "b", "hello"]) == 0


def test_a_repeated_step_is_numbered() -> None:
    exchange = good().replies[2]
    steps = [exchange.step(number) for number in range(4)]
    assert [step and [call.arguments for call in step.wanted()] for step in steps] == [
        [{"path": "1"}],
        [{"path": "2"}],
        [],
        None,
    ]


def test_a_step_that_is_repeated_very_often_costs_no_more() -> None:
    script = read_script("name: x\nreplies: [{steps: [{call: ls, repeat: 100000}, {say: done}]}]", "x.yaml")
    last = script.replies[0].step(100_000)
    assert last is not None
    assert last.say == "done"
