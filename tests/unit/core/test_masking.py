"""What users see holds no secret and no path of the host."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.core.masking import MASK, SecretMasker, StreamMasker, TextMasker, without_paths


def test_every_given_secret_is_masked_the_longest_first() -> None:
    assert TextMasker(["hunter2", "hunter2-long"]).text("a=hunter2 b=hunter2-long") == f"a={MASK} b={MASK}"


def test_a_secret_too_short_to_be_one_is_left_alone() -> None:
    assert TextMasker(["no", ""]).text("yes and no") == "yes and no"


@pytest.mark.parametrize(
    "key", ["sk-abcdefghijklmnop", "ghp_abcdefghijkl0123", "hf_abcdefghijklmnopqrstuv", "glpat-abcdefghijklm"]
)
def test_what_looks_like_a_providers_key_is_masked(key: str) -> None:
    assert TextMasker().text(f"Authorization: {key}!") == f"Authorization: {MASK}!"


@pytest.mark.parametrize("text", ["task-abcdefghijklmnop", "risk-free-for-everybody", "sk-short"])
def test_what_only_resembles_a_key_is_left_alone(text: str) -> None:
    assert TextMasker().text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open /var/lib/ohs/sessions.db: denied", "cannot open <path>: denied"),
        ("'/home/ada/data'", "'<path>'"),
        ("(/opt/a-b/c_d.e/)", "(<path>)"),
        ("file:///home/ada/x", "file://<path>"),
        ("sqlite:////var/lib/x.db", "sqlite:///<path>"),
        ("see https://host.example/a/b/c", "see https://host.example/a/b/c"),
        ("/workspace/src/a.py is not text", "/workspace/src/a.py is not text"),
        ("/workspaces/ada/x", "<path>"),
        ("either/or/both", "either/or/both"),
        ("1/2", "1/2"),
    ],
)
def test_paths_of_the_host_are_left_out_and_those_of_the_workspace_are_not(text: str, shown: str) -> None:
    assert without_paths(text) == shown


SECRETS = ["hunter2", "hunter2-long", 'with "quotes" and \\', "two\nlines", "running", "content", "xabc", "bcd"]
REDACTOR = SecretMasker(SECRETS)


@given(st.lists(st.sampled_from([*SECRETS, "hunter", "2-lo", "ng", "x", " ", "two\r\nlines"]), max_size=8), st.data())
@settings(max_examples=300, deadline=None)
def test_a_secret_is_never_told_in_pieces_wherever_the_stream_is_cut(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    stream = StreamMasker(REDACTOR)
    pieces = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
    told = "".join([stream.feed(piece) for piece in pieces])
    assert REDACTOR.text(text).startswith(told)
    assert told + REDACTOR.text(stream.held) == REDACTOR.text(text)


def test_what_can_be_no_secret_is_told_at_once() -> None:
    stream = StreamMasker(REDACTOR)
    assert stream.feed("nothing of it ") == "nothing of it "
    assert stream.feed("hunt") == ""
    assert stream.feed("ing") == "hunting"
    assert StreamMasker(SecretMasker()).feed("hunter2") == "hunter2"


def test_values_lose_secrets_and_the_protocol_keeps_its_words() -> None:
    wire = {
        "source": "agent",
        "action": "run",
        "args": {"command": "echo hunter2", "agent_state": "running", "outputs": {"hunter2-long": [1, "content"]}},
        "content": "running",
        "arguments": '{"command": "echo with \\"quotes\\" and \\\\"}',
    }
    assert REDACTOR.touches(json.dumps(wire))
    assert REDACTOR.tree(wire) == {
        "source": "agent",
        "action": "run",
        "args": {"command": f"echo {MASK}", "agent_state": "running", "outputs": {MASK: [1, MASK]}},
        "content": MASK,
        "arguments": f'{{"command": "echo {MASK}"}}',
    }


def test_short_values_are_left_alone() -> None:
    masker = SecretMasker(["abc", ""])
    assert masker.text("abc") == "abc"
    assert not masker.touches("abc")
