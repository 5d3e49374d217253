"""What users see holds no secret and no path of the host."""

import pytest

from openhands_sessions.core.redaction import MASK, mask, without_paths


def test_every_given_secret_is_masked_the_longest_first() -> None:
    assert mask("a=hunter2 b=hunter2-long", ["hunter2", "hunter2-long"]) == f"a={MASK} b={MASK}"


def test_a_secret_too_short_to_be_one_is_left_alone() -> None:
    assert mask("yes and no", ["no", ""]) == "yes and no"


@pytest.mark.parametrize(
    "key", ["sk-abcdefghijklmnop", "ghp_abcdefghijkl0123", "hf_abcdefghijklm", "glpat-abcdefghijklm"]
)
def test_what_looks_like_a_providers_key_is_masked(key: str) -> None:
    assert mask(f"Authorization: {key}!", []) == f"Authorization: {MASK}!"


@pytest.mark.parametrize("text", ["task-abcdefghijklmnop", "risk-free-for-everybody", "sk-short"])
def test_what_only_resembles_a_key_is_left_alone(text: str) -> None:
    assert mask(text, []) == text


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
