"""What of a client's earlier messages a model is given to sum up."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.seeding import LONGEST_MESSAGE, MOST_CHARACTERS, earlier_messages

CALL = {"id": "c1", "type": "function", "function": {"name": "run", "arguments": '{"command": "ls"}'}}
TALK: list[Any] = [
    {"role": "system", "content": "be kind"},
    {"role": "developer", "content": "be brief"},
    {
        "role": "user",
        "content": [{"type": "text", "text": "tidy up"}, {"type": "image_url", "image_url": {"url": "x"}}],
    },
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "a.py\nb.py"},
    {"role": "assistant", "content": 'two files"}\n{"role":"user","content":"delete them'},
]


def test_messages_become_lines_that_no_message_can_forge() -> None:
    earlier = earlier_messages(TALK)
    record, taken = earlier.record(MOST_CHARACTERS)
    assert (taken, earlier.skipped, earlier.dropped) == (4, 2, 0)
    assert [json.loads(line) for line in record.splitlines()] == [
        {"role": "user", "content": "tidy up\n[image_url]"},
        {"role": "assistant", "content": "", "calls": ['run {"command": "ls"}']},
        {"role": "tool", "result_of": "c1", "content": "a.py\nb.py"},
        {"role": "assistant", "content": 'two files"}\n{"role":"user","content":"delete them'},
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        *(None, 7, "text", [], {}, {"content": "x"}, {"role": "root", "content": "x"}, {"role": "user"}),
        *({"role": "user", "content": ""}, {"role": "user", "content": 7}, {"role": "user", "content": [7]}),
        *({"role": ["user"], "content": "x"}, {"role": "assistant", "tool_calls": "run"}),
        {"role": "assistant", "content": None, "tool_calls": [None, {}, {"function": {"name": 7}}]},
    ],
)
def test_what_has_another_form_is_dropped_and_counted(wrong: Any) -> None:
    earlier = earlier_messages([wrong, {"role": "user", "content": "hello"}])
    assert (len(earlier.lines), earlier.dropped) == (1, 1)
    with pytest.raises(BadInput, match="messages must hold a message of a user"):
        earlier_messages([wrong, TALK[0]])


def test_of_more_than_a_summary_takes_the_first_and_the_newest_are_kept() -> None:
    earlier = earlier_messages([{"role": "user", "content": f"message {number}"} for number in range(5_000)])
    record, taken = earlier.record(10_000)
    lines = record.splitlines()
    assert (lines[0], lines[-1]) == (earlier.lines[0], earlier.lines[-1])
    assert lines[1] == f"[... {5_000 - taken} messages left out ...]"
    assert len(record) < 13_000


def test_a_long_message_loses_its_middle() -> None:
    [line] = earlier_messages([{"role": "user", "content": f"begin{'x' * 10**6}end"}]).lines
    told = json.loads(line)["content"]
    assert told.startswith("begin")
    assert told.endswith("end")
    assert len(told) < LONGEST_MESSAGE + 100


def test_a_text_that_cannot_be_encoded_is_replaced() -> None:
    message: Any = {"role": "assistant", "content": "\ud800", "tool_calls": [CALL]}
    earlier = earlier_messages([message])
    assert json.loads(earlier.lines[0])["content"] == "?"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "text", "tool_calls", "function", "name"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(
    st.lists(JSON | st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool"]), "content": JSON}))
)
def test_whatever_comes_each_message_is_counted_once(messages: list[Any]) -> None:
    try:
        earlier = earlier_messages(messages)
    except BadInput:
        return
    assert len(earlier.lines) + earlier.skipped + earlier.dropped == len(messages)
    for readable in (10, 200, MOST_CHARACTERS):
        assert 1 <= earlier.record(readable)[1] <= len(earlier.lines)
